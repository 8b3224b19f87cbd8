// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Commitment, SumNode} from "../interfaces/ISettlement.sol";
import {Authorisation} from "../libraries/Authorisation.sol";
import {AccountLeaf, BlockHeader, Encodings, Payment} from "../libraries/Encodings.sol";
import {ListTree} from "../libraries/ListTree.sol";
import {SumTree} from "../libraries/SumTree.sol";

/// @notice The libraries' functions, callable one by one.
contract VectorHarness {
    function listLeaf(bytes calldata data) external pure returns (bytes32) {
        return ListTree.leafHash(data);
    }

    function listRoot(bytes32 leaf, uint256 index, uint256 count, bytes32[] calldata siblings)
        external
        pure
        returns (bytes32)
    {
        return ListTree.computeRoot(leaf, index, count, siblings);
    }

    function sumRoot(SumNode calldata leaf, uint256 index, uint256 count, SumNode[] calldata siblings)
        external
        pure
        returns (SumNode memory)
    {
        return SumTree.computeRoot(leaf, index, count, siblings);
    }

    function recover(bytes32 digest, bytes calldata signature) external pure returns (address) {
        return Authorisation.recover(digest, signature);
    }

    function checkSigner(bytes32 digest, bytes calldata signature, address signer) external pure {
        Authorisation.checkSigner(digest, signature, signer);
    }

    function ledgerChainId(uint256 l1ChainId, address settlement) external pure returns (uint64) {
        return Encodings.ledgerChainId(l1ChainId, settlement);
    }

    function domainSeparator(uint64 chainId, address settlement) external pure returns (bytes32) {
        return Encodings.domainSeparator(chainId, settlement);
    }

    function paymentDigest(bytes32 domain, Payment calldata payment) external pure returns (bytes32) {
        return Encodings.paymentDigest(domain, payment);
    }

    function blockDigest(bytes32 domain, BlockHeader calldata header) external pure returns (bytes32) {
        return Encodings.blockDigest(domain, header);
    }

    function commitmentDigest(bytes32 domain, Commitment calldata commitment) external pure returns (bytes32) {
        return Encodings.commitmentDigest(domain, commitment);
    }

    function commitmentHash(bytes32 digest, uint64 includedAt) external pure returns (bytes32) {
        return Encodings.commitmentHash(digest, includedAt);
    }

    function recordData(uint8 recordType, bytes32 id) external pure returns (bytes memory) {
        return Encodings.recordData(recordType, id);
    }

    function requestId(uint8 recordType, address asset, uint64 index) external pure returns (bytes32) {
        return Encodings.requestId(recordType, asset, index);
    }

    function withdrawalLeaf(bytes32 id, address recipient, uint128 amount) external pure returns (bytes32) {
        return Encodings.withdrawalLeaf(id, recipient, amount);
    }

    function debitLeaf(uint8 recordType, uint64 number, bytes32 id, uint128 amount) external pure returns (bytes32) {
        return Encodings.debitLeaf(recordType, number, id, amount);
    }

    function creditLeaf(
        uint64 blockNumber,
        uint32 recordIndex,
        uint8 outputIndex,
        uint8 recordType,
        bytes32 id,
        uint128 amount
    ) external pure returns (bytes32) {
        return Encodings.creditLeaf(blockNumber, recordIndex, outputIndex, recordType, id, amount);
    }

    function accountLeaf(AccountLeaf calldata leaf) external pure returns (bytes32) {
        return Encodings.accountLeaf(leaf);
    }
}
