// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {AssetCommitment, Commitment} from "../interfaces/ISettlement.sol";

/// @notice One output of a payment. Base units.
struct Output {
    address to;
    uint128 amount;
}

/// @notice A signed instruction to pay. `reference_` is `reference` in the signed type: Solidity reserves the word.
struct Payment {
    address asset;
    address from;
    uint64 nonce;
    uint64 validUntil;
    string kind;
    bytes32 reference_;
    string memo;
    Output[] outputs;
}

/// @notice Header of a block. `timestamp` is in milliseconds.
struct BlockHeader {
    uint64 number;
    bytes32 previous;
    uint64 timestamp;
    bytes32 recordsRoot;
    uint32 recordCount;
}

/// @notice State of one account in one asset at the end of an epoch.
struct AccountLeaf {
    address asset;
    address owner;
    uint64 epoch;
    uint64 nonceBase;
    uint256 nonceMap;
    uint128 opening;
    uint128 debits;
    uint128 credits;
    uint32 debitCount;
    uint32 creditCount;
    bytes32 debitsRoot;
    bytes32 creditsRoot;
}

/// @notice The bytes that are hashed. Integers are big-endian and of fixed width; every input of ours begins with its own tag
/// from 0x80 to 0x8f, so that none can be taken for another kind, nor for EIP-191, RLP or a typed transaction.
library Encodings {
    bytes1 private constant ACCOUNT_LEAF_TAG = 0x82;
    bytes1 private constant DEBIT_TAG = 0x84;
    bytes1 private constant CREDIT_TAG = 0x85;
    bytes1 private constant WITHDRAWAL_TAG = 0x86;
    bytes1 private constant REQUEST_TAG = 0x89;

    bytes32 private constant DOMAIN_TYPEHASH =
        keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)");

    bytes32 private constant OUTPUT_TYPEHASH = keccak256("Output(address to,uint128 amount)");
    bytes32 private constant PAYMENT_TYPEHASH = keccak256(
        "Payment(address asset,address from,uint64 nonce,uint64 validUntil,string kind,bytes32 reference,string memo,"
        "Output[] outputs)"
        "Output(address to,uint128 amount)"
    );

    bytes32 private constant BLOCK_TYPEHASH =
        keccak256("Block(uint64 number,bytes32 previous,uint64 timestamp,bytes32 recordsRoot,uint32 recordCount)");

    bytes32 private constant ASSET_COMMITMENT_TYPEHASH = keccak256(
        "AssetCommitment(address asset,bytes32 stateRoot,uint128 total,uint64 accountCount,uint64 depositCount,"
        "uint64 forcedCount,bytes32 withdrawalsRoot,uint64 withdrawalCount,uint128 withdrawn)"
    );
    bytes32 private constant COMMITMENT_TYPEHASH = keccak256(
        "Commitment(uint64 epoch,bytes32 previous,uint64 firstBlock,uint64 lastBlock,uint64 cutAt,bytes32 blocksRoot,"
        "bytes32 extraRoot,AssetCommitment[] assets)"
        "AssetCommitment(address asset,bytes32 stateRoot,uint128 total,uint64 accountCount,uint64 depositCount,"
        "uint64 forcedCount,bytes32 withdrawalsRoot,uint64 withdrawalCount,uint128 withdrawn)"
    );

    // ----------------------------------------------------------------------------------------------------------- domain

    /// @notice 2^40 + the first 5 bytes of keccak256(L1 chain id u256 ‖ settlement address).
    /// @dev So nothing signed for one deployment fits another, and no wallet takes it for an Ethereum chain in use.
    function ledgerChainId(uint256 l1ChainId, address settlement) internal pure returns (uint64) {
        return uint64(1 << 40) + uint40(bytes5(keccak256(abi.encodePacked(l1ChainId, settlement))));
    }

    /// @notice EIP-712 domain separator.
    function domainSeparator(uint64 chainId, address settlement) internal pure returns (bytes32) {
        return keccak256(
            abi.encode(DOMAIN_TYPEHASH, keccak256("Tallystick"), keccak256("1"), uint256(chainId), settlement)
        );
    }

    // ----------------------------------------------------------------------------------------------- EIP-712 digests

    function paymentDigest(bytes32 domain, Payment memory payment) internal pure returns (bytes32) {
        bytes32[] memory outputs = new bytes32[](payment.outputs.length);
        for (uint256 i = 0; i < outputs.length; ++i) {
            outputs[i] = keccak256(abi.encode(OUTPUT_TYPEHASH, payment.outputs[i]));
        }
        return _digest(
            domain,
            keccak256(
                abi.encode(
                    PAYMENT_TYPEHASH,
                    payment.asset,
                    payment.from,
                    payment.nonce,
                    payment.validUntil,
                    keccak256(bytes(payment.kind)),
                    payment.reference_,
                    keccak256(bytes(payment.memo)),
                    keccak256(abi.encodePacked(outputs))
                )
            )
        );
    }

    /// @notice The block hash, which is what the operator signs.
    function blockDigest(bytes32 domain, BlockHeader memory header) internal pure returns (bytes32) {
        return _digest(domain, keccak256(abi.encode(BLOCK_TYPEHASH, header)));
    }

    function commitmentDigest(bytes32 domain, Commitment memory commitment) internal pure returns (bytes32) {
        bytes32[] memory lines = new bytes32[](commitment.assets.length);
        for (uint256 i = 0; i < lines.length; ++i) {
            lines[i] = keccak256(abi.encode(ASSET_COMMITMENT_TYPEHASH, commitment.assets[i]));
        }
        return _digest(
            domain,
            keccak256(
                abi.encode(
                    COMMITMENT_TYPEHASH,
                    commitment.epoch,
                    commitment.previous,
                    commitment.firstBlock,
                    commitment.lastBlock,
                    commitment.cutAt,
                    commitment.blocksRoot,
                    commitment.extraRoot,
                    keccak256(abi.encodePacked(lines))
                )
            )
        );
    }

    function _digest(bytes32 domain, bytes32 structHash) private pure returns (bytes32) {
        return keccak256(abi.encodePacked(hex"1901", domain, structHash));
    }

    // ------------------------------------------------------------------------------------------- leaves, ids, storage

    /// @notice What the contract keeps of an included commitment. `includedAt` in seconds.
    function commitmentHash(bytes32 digest, uint64 includedAt) internal pure returns (bytes32) {
        return keccak256(abi.encodePacked(digest, includedAt));
    }

    /// @notice Data of a leaf in a block's list of records: type u8 ‖ id.
    function recordData(uint8 recordType, bytes32 id) internal pure returns (bytes memory) {
        return abi.encodePacked(recordType, id);
    }

    /// @notice Id of a deposit (type 2) or a forced withdrawal (type 3).
    function requestId(uint8 recordType, address asset, uint64 index) internal pure returns (bytes32) {
        return keccak256(abi.encodePacked(REQUEST_TAG, recordType, asset, index));
    }

    function withdrawalLeaf(bytes32 id, address recipient, uint128 amount) internal pure returns (bytes32) {
        return keccak256(abi.encodePacked(WITHDRAWAL_TAG, id, recipient, amount));
    }

    /// @param number nonce of a payment, index of a forced withdrawal
    function debitLeaf(uint8 recordType, uint64 number, bytes32 id, uint128 amount) internal pure returns (bytes32) {
        return keccak256(abi.encodePacked(DEBIT_TAG, recordType, number, id, amount));
    }

    function creditLeaf(
        uint64 blockNumber,
        uint32 recordIndex,
        uint8 outputIndex,
        uint8 recordType,
        bytes32 id,
        uint128 amount
    ) internal pure returns (bytes32) {
        return keccak256(
            abi.encodePacked(CREDIT_TAG, blockNumber, recordIndex, outputIndex, recordType, id, amount)
        );
    }

    /// @notice Hash of the 208 bytes of an account leaf, under its tag.
    function accountLeaf(AccountLeaf memory leaf) internal pure returns (bytes32) {
        return keccak256(
            bytes.concat(
                abi.encodePacked(
                    ACCOUNT_LEAF_TAG, leaf.asset, leaf.owner, leaf.epoch, leaf.nonceBase, leaf.nonceMap, leaf.opening
                ),
                abi.encodePacked(
                    leaf.debits, leaf.credits, leaf.debitCount, leaf.creditCount, leaf.debitsRoot, leaf.creditsRoot
                )
            )
        );
    }
}
