// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Proof} from "./Proof.sol";

/// @notice Merkle tree over a list: the records of a block, the blocks of an epoch.
/// @dev A leaf is keccak256(0x80 ‖ data), a node keccak256(0x81 ‖ left ‖ right); tags keep one from being shown as the other
/// (RFC 6962, section 2.1). Missing leaves are 32 zero bytes up to the next power of two, and nodes over them are hashed as
/// usual. The root of an empty list is zero.
library ListTree {
    bytes1 private constant LEAF_TAG = 0x80;
    bytes1 private constant NODE_TAG = 0x81;

    function leafHash(bytes memory data) internal pure returns (bytes32) {
        return keccak256(abi.encodePacked(LEAF_TAG, data));
    }

    /// @notice Root of the list of `count` leaves in which `leaf` is at `index`. The caller compares it.
    /// @dev Refuses: IndexOutOfRange, ProofLengthMismatch.
    function computeRoot(bytes32 leaf, uint256 index, uint256 count, bytes32[] calldata siblings)
        internal
        pure
        returns (bytes32 root)
    {
        Proof.checkShape(index, count, siblings.length);
        root = leaf;
        for (uint256 level = 0; level < siblings.length; ++level) {
            bytes32 sibling = siblings[level];
            root = (index >> level) & 1 == 0
                ? keccak256(abi.encodePacked(NODE_TAG, root, sibling))
                : keccak256(abi.encodePacked(NODE_TAG, sibling, root));
        }
    }
}
