// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";
import {ERC20Permit} from "@openzeppelin/contracts/token/ERC20/extensions/ERC20Permit.sol";

/// @notice A token without value, for development chains: anybody may mint.
contract TestToken is ERC20, ERC20Permit {
    constructor() ERC20("Tally Token", "TOK") ERC20Permit("Tally Token") {}

    function mint(address to, uint256 amount) external {
        _mint(to, amount);
    }
}
