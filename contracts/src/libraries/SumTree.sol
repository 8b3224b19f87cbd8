// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {SumNode} from "../interfaces/ISettlement.sol";
import {Proof} from "./Proof.sol";

/// @notice Merkle sum tree: every node binds the hashes and the sums of both its children.
/// @dev A node is keccak256(0x83 ‖ left hash ‖ left sum u128 ‖ right hash ‖ right sum u128). Hashing only the total of both
/// is the known flaw of early proof-of-liabilities trees (Hu et al., "Generalized Proof of Liabilities", 2021). The empty
/// subtree is (0, 0) at every level, and so is a node of two of them.
library SumTree {
    /// @notice The sum of a node does not fit 128 bits.
    error SumTooLarge(uint256 sum);
    /// @notice A sibling that lies wholly at or beyond `count` must be the empty subtree.
    error PaddingNotEmpty(uint256 level);

    bytes1 private constant NODE_TAG = 0x83;

    /// @notice Root of the tree of `count` leaves in which `leaf` is at `index`. The caller compares hash and sum.
    /// @dev Refuses: IndexOutOfRange, ProofLengthMismatch, and from the leaf upwards PaddingNotEmpty, SumTooLarge. A count
    /// of 0 has no index, hence no proof. Siblings inside `count` are bound by the root, so they need no check.
    function computeRoot(SumNode memory leaf, uint256 index, uint256 count, SumNode[] calldata siblings)
        internal
        pure
        returns (SumNode memory)
    {
        Proof.checkShape(index, count, siblings.length);
        bytes32 hash = leaf.hash;
        uint256 sum = leaf.sum;
        for (uint256 level = 0; level < siblings.length; ++level) {
            SumNode calldata sibling = siblings[level];
            (bytes32 siblingHash, uint128 siblingSum) = (sibling.hash, sibling.sum);
            uint256 position = index >> level;
            if ((position ^ 1) << level >= count && (siblingHash != 0 || siblingSum != 0)) {
                revert PaddingNotEmpty(level);
            }
            hash = position & 1 == 0
                ? keccak256(abi.encodePacked(NODE_TAG, hash, uint128(sum), siblingHash, siblingSum))
                : keccak256(abi.encodePacked(NODE_TAG, siblingHash, siblingSum, hash, uint128(sum)));
            sum += siblingSum;
            if (sum > type(uint128).max) revert SumTooLarge(sum);
        }
        return SumNode(hash, uint128(sum));
    }
}
