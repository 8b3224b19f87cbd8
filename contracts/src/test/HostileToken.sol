// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";

/// @notice What a token with hooks calls while it moves money.
interface ITransferHook {
    function onTransfer() external payable;
}

/// @notice A token that behaves as badly as it is told to. Anybody may mint and tell.
contract HostileToken is ERC20 {
    enum Behaviour {
        Honest,
        /// burns a hundredth of what is sent
        TakesFee,
        /// reports success and moves nothing
        MovesNothing,
        /// reports failure and moves the money
        ReportsFailure,
        /// takes money from the receiver of a transfer
        TakesFromReceiver,
        /// calls `hook` before it moves the money
        CallsHook,
        /// refuses every transfer
        Refuses
    }

    error Refused();

    Behaviour public behaviour;
    ITransferHook public hook;

    constructor() ERC20("Hostile Token", "BAD") {}

    function mint(address to, uint256 amount) external {
        _mint(to, amount);
    }

    function behave(Behaviour behaviour_, ITransferHook hook_) external {
        behaviour = behaviour_;
        hook = hook_;
    }

    function transfer(address to, uint256 amount) public override returns (bool) {
        return _move(msg.sender, to, amount);
    }

    function transferFrom(address from, address to, uint256 amount) public override returns (bool) {
        _spendAllowance(from, msg.sender, amount);
        return _move(from, to, amount);
    }

    function _move(address from, address to, uint256 amount) private returns (bool) {
        if (behaviour == Behaviour.Refuses) revert Refused();
        if (behaviour == Behaviour.MovesNothing) return true;
        if (behaviour == Behaviour.CallsHook) hook.onTransfer();
        if (behaviour == Behaviour.TakesFee) _burn(from, amount / 100);
        if (behaviour == Behaviour.TakesFromReceiver) {
            _transfer(to, from, 1);
            return true;
        }
        _transfer(from, to, behaviour == Behaviour.TakesFee ? amount - amount / 100 : amount);
        return behaviour != Behaviour.ReportsFailure;
    }
}
