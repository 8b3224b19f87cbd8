// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";

/// @notice What proofs in both kinds of tree have in common: index and count fix their length.
library Proof {
    error IndexOutOfRange(uint256 index, uint256 count);
    error ProofLengthMismatch(uint256 expected, uint256 given);

    /// @notice Refuses unless `index < count` and there are exactly ceil(log2(count)) siblings.
    /// @dev So each bit of the index is used, and index + k * 2^depth is no second name of the same leaf. Refuses:
    /// IndexOutOfRange, ProofLengthMismatch.
    function checkShape(uint256 index, uint256 count, uint256 siblingCount) internal pure {
        if (index >= count) revert IndexOutOfRange(index, count);
        uint256 depth = Math.log2(count, Math.Rounding.Ceil);
        if (siblingCount != depth) revert ProofLengthMismatch(depth, siblingCount);
    }
}
