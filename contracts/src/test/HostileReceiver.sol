// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ITransferHook} from "./HostileToken.sol";

/// @notice A receiver of ether, and of token hooks, that does as it is told with the control it is given.
contract HostileReceiver is ITransferHook {
    enum Behaviour {
        Accepts,
        Refuses,
        /// refuses with a megabyte of data, for the caller to copy
        Floods,
        /// uses up all gas it is given
        Burns,
        /// makes the calls it was told to make, and notes how they ended
        Calls
    }

    Behaviour public behaviour;
    address public target;
    bytes[] public calls;
    bytes[] public results;

    function behave(Behaviour behaviour_) external {
        behaviour = behaviour_;
    }

    /// @notice The calls to make to `target_` when money comes.
    function plan(address target_, bytes[] calldata calls_) external {
        behaviour = Behaviour.Calls;
        target = target_;
        calls = calls_;
    }

    /// @notice Number of calls made so far. A result begins with 1 for success, 0 for a revert.
    function resultCount() external view returns (uint256) {
        return results.length;
    }

    /// @notice Makes a call now, on this contract's account.
    function execute(address to, bytes calldata data) external payable {
        (bool success, bytes memory returned) = to.call{value: msg.value}(data);
        require(success, string(returned));
    }

    function onTransfer() external payable {
        _act();
    }

    receive() external payable {
        _act();
    }

    function _act() private {
        if (behaviour == Behaviour.Refuses) revert();
        if (behaviour == Behaviour.Floods) {
            bytes memory flood = new bytes(1 << 20);
            assembly ("memory-safe") {
                revert(add(flood, 32), mload(flood))
            }
        }
        if (behaviour == Behaviour.Burns) while (true) {}
        if (behaviour == Behaviour.Calls) {
            for (uint256 i = 0; i < calls.length; ++i) {
                (bool success, bytes memory returned) = target.call(calls[i]);
                results.push(bytes.concat(success ? bytes1(0x01) : bytes1(0x00), returned));
            }
        }
    }
}
