// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ISettlement} from "../interfaces/ISettlement.sol";

/// @notice Signatures in the one form the ledger knows: 65 bytes r ‖ s ‖ v over a digest, low s, v 27 or 28.
library Authorisation {
    /// @dev Half the order of secp256k1. A higher s is the same signature written another way (EIP-2).
    uint256 private constant MAX_S = 0x7fffffffffffffffffffffffffffffff5d576e7357a4501ddfe92f46681b20a0;

    /// @notice Refuses unless `signature` is by `signer`. Refuses: InvalidSignature.
    function checkSigner(bytes32 digest, bytes calldata signature, address signer) internal pure {
        address recovered = recover(digest, signature);
        if (recovered != signer) revert ISettlement.InvalidSignature(recovered);
    }

    /// @notice The address that signed `digest`; never zero. Refuses: InvalidSignature.
    /// @dev ecrecover answers zero for what no key can have signed, so zero must never be compared with anything.
    function recover(bytes32 digest, bytes calldata signature) internal pure returns (address signer) {
        if (signature.length != 65) revert ISettlement.InvalidSignature(address(0));
        bytes32 r = bytes32(signature[0:32]);
        bytes32 s = bytes32(signature[32:64]);
        uint8 v = uint8(signature[64]);
        if (uint256(s) > MAX_S || (v != 27 && v != 28)) revert ISettlement.InvalidSignature(address(0));
        signer = ecrecover(digest, v, r, s);
        if (signer == address(0)) revert ISettlement.InvalidSignature(address(0));
    }
}
