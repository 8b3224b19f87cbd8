// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {IERC20Permit} from "@openzeppelin/contracts/token/ERC20/extensions/IERC20Permit.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {LowLevelCall} from "@openzeppelin/contracts/utils/LowLevelCall.sol";
import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";
import {SafeCast} from "@openzeppelin/contracts/utils/math/SafeCast.sol";
import {AssetCommitment, Commitment, ISettlement, Parameters, SumNode} from "./interfaces/ISettlement.sol";
import {Authorisation} from "./libraries/Authorisation.sol";
import {Encodings} from "./libraries/Encodings.sol";
import {SumTree} from "./libraries/SumTree.sol";

/// @title Settlement
/// @notice See ISettlement.
/// @dev Sections: storage, deployment, deposits, listing, commitments, finality and claims, views. What is stored and why it
/// is packed as it is: docs/decisions/0002-settlement-storage.md.
contract Settlement is ISettlement, ReentrancyGuardTransient {
    using SafeERC20 for IERC20;

    address private constant ETHER = address(0);
    uint256 private constant MAX_ASSETS = 32;
    /// @dev Of one asset, in base units. Sums of what the ledger does with it then always fit the 128 bits of a tree's sums.
    uint256 private constant MAX_DEPOSITED = 2 ** 120;

    // --------------------------------------------------------------------------------------------------------- storage

    /// @dev One slot. Times in seconds.
    struct Head {
        uint48 epoch;
        uint48 includedAt;
        uint48 finalEpoch;
        uint48 firstDepositAt;
        uint8 assetCount;
    }

    /// @dev Two slots, of which deposits and commitments need the first alone. `deposited` and `paid` only grow; their
    /// difference is what the contract owes. `forcedCount` counts requests of forced withdrawals; none can be made yet.
    /// `position` is 1 for the first listed asset, 0 for one that is not listed. `listedAt` in seconds. `isListed` keeps the
    /// second slot from being zero, so that an asset's first claim costs no more than any other.
    struct AssetState {
        uint128 deposited;
        uint40 depositCount;
        uint40 forcedCount;
        uint40 listedAt;
        uint8 position;
        uint128 paid;
        bool isListed;
    }

    /// @dev Two slots, of which commitments need the first alone. `before` is the sum of all earlier deposits of the asset.
    struct Deposit {
        uint128 before;
        uint64 timestamp;
        address account;
    }

    Head private _head;
    mapping(uint64 epoch => bytes32 hash) public override commitmentHash;
    mapping(uint256 index => address asset) private _assets;
    mapping(address asset => AssetState state) private _assetStates;
    mapping(address asset => mapping(uint256 index => Deposit deposit)) private _deposits;
    /// @dev Bit `index % 256` of word `index / 256` is set once that withdrawal is paid.
    mapping(uint64 epoch => mapping(address asset => mapping(uint256 word => uint256 bits))) private _claimed;

    address public immutable override operator;
    address public immutable override coldKey;
    address public immutable override listingKey;
    address public immutable override nativeAsset;
    uint64 public immutable override challengePeriod;
    uint64 public immutable override answerPeriod;
    uint64 public immutable override followUp;
    uint64 public immutable override minInterval;
    uint64 public immutable override maxSilence;
    uint64 public immutable override listingDelay;
    uint64 public immutable override deployedAt;
    uint64 public immutable override ledgerChainId;
    bytes32 public immutable override domainSeparator;

    // ------------------------------------------------------------------------------------------------------ deployment

    /// @dev `assets` are in force at once. Refuses: ZeroAddress, KeysNotApart, ZeroPeriod, MinIntervalTooLong, and
    /// for each asset what `listAsset` refuses it for.
    constructor(Parameters memory parameters, address[] memory assets) {
        if (
            parameters.operator == address(0) || parameters.coldKey == address(0)
                || parameters.listingKey == address(0)
        ) revert ZeroAddress();
        if (
            parameters.operator == parameters.coldKey || parameters.operator == parameters.listingKey
                || parameters.coldKey == parameters.listingKey
        ) revert KeysNotApart();
        if (parameters.challengePeriod == 0 || parameters.maxSilence == 0) revert ZeroPeriod();
        if (4 * uint256(parameters.minInterval) > parameters.maxSilence) {
            revert MinIntervalTooLong(parameters.minInterval, parameters.maxSilence);
        }

        operator = parameters.operator;
        coldKey = parameters.coldKey;
        listingKey = parameters.listingKey;
        nativeAsset = parameters.nativeAsset;
        challengePeriod = parameters.challengePeriod;
        answerPeriod = parameters.answerPeriod;
        followUp = parameters.followUp;
        minInterval = parameters.minInterval;
        maxSilence = parameters.maxSilence;
        listingDelay = parameters.listingDelay;
        deployedAt = uint64(block.timestamp);
        ledgerChainId = Encodings.ledgerChainId(block.chainid, address(this));
        domainSeparator = Encodings.domainSeparator(ledgerChainId, address(this));

        for (uint256 i = 0; i < assets.length; ++i) {
            _list(assets[i], block.timestamp);
        }
    }

    // -------------------------------------------------------------------------------------------------------- deposits

    /// @inheritdoc ISettlement
    function deposit(address asset, address account, uint128 amount) external nonReentrant {
        _checkTokenDeposit(asset, account, amount);
        _pullDeposit(asset, account, amount);
    }

    /// @inheritdoc ISettlement
    function depositWithPermit(
        address asset,
        address account,
        uint128 amount,
        uint256 deadline,
        uint8 v,
        bytes32 r,
        bytes32 s
    ) external nonReentrant {
        _checkTokenDeposit(asset, account, amount);
        // A permit is public once it is sent: whoever submits it first makes this call fail, with the approval given all
        // the same. Without an approval the transfer below refuses.
        try IERC20Permit(asset).permit(msg.sender, address(this), amount, deadline, v, r, s) {} catch {}
        _pullDeposit(asset, account, amount);
    }

    /// @inheritdoc ISettlement
    function depositEther(address account) external payable nonReentrant {
        _checkDeposit(ETHER, account, msg.value);
        _recordDeposit(ETHER, account, msg.value);
    }

    function _checkTokenDeposit(address asset, address account, uint128 amount) private view {
        if (asset == ETHER) revert NotAToken(asset);
        _checkDeposit(asset, account, amount);
    }

    function _checkDeposit(address asset, address account, uint256 amount) private view {
        if (account == address(0)) revert ZeroAddress();
        if (amount == 0) revert ZeroAmount();
        AssetState storage state = _assetStates[asset];
        if (state.position == 0) revert UnknownAsset(asset);
        if (block.timestamp < state.listedAt) revert AssetNotInForce(asset, state.listedAt);
        _checkNotHalted(_head);
    }

    /// @dev The payer is always the caller: an approval given to this contract can not be used by anyone else. What arrives is
    /// measured, under the lock, so neither a fee nor a hook of the token can make the ledger owe what it does not have.
    function _pullDeposit(address asset, address account, uint128 amount) private {
        IERC20 token = IERC20(asset);
        uint256 balanceBefore = token.balanceOf(address(this));
        token.safeTransferFrom(msg.sender, address(this), amount);
        uint256 balanceAfter = token.balanceOf(address(this));
        if (balanceAfter <= balanceBefore) revert NothingReceived(asset);
        _recordDeposit(asset, account, balanceAfter - balanceBefore);
    }

    function _recordDeposit(address asset, address account, uint256 received) private {
        AssetState storage state = _assetStates[asset];
        uint40 index = state.depositCount;
        uint128 before = state.deposited;
        uint256 cumulative = before + received;
        if (cumulative > MAX_DEPOSITED) revert AmountTooLarge(cumulative, MAX_DEPOSITED);

        // Both casts fit, because received <= cumulative <= MAX_DEPOSITED.
        _deposits[asset][index] = Deposit(before, uint64(block.timestamp), account);
        state.deposited = uint128(cumulative);
        state.depositCount = index + 1;
        if (_head.firstDepositAt == 0) _head.firstDepositAt = uint48(block.timestamp);
        emit Deposited(asset, index, account, msg.sender, uint128(received));
    }

    // --------------------------------------------------------------------------------------------------------- listing

    /// @inheritdoc ISettlement
    function listAsset(address asset) external {
        if (msg.sender != listingKey) revert NotListingKey(msg.sender);
        _list(asset, block.timestamp + listingDelay);
    }

    function _list(address asset, uint256 listedAt) private {
        uint8 index = _head.assetCount;
        if (index == MAX_ASSETS) revert TooManyAssets(MAX_ASSETS);
        AssetState storage state = _assetStates[asset];
        if (state.position != 0) revert AssetAlreadyListed(asset);
        if (asset != ETHER && asset.code.length == 0) revert NotAToken(asset);

        _assets[index] = asset;
        _head.assetCount = index + 1;
        state.position = index + 1;
        state.isListed = true;
        state.listedAt = SafeCast.toUint40(listedAt);
        emit AssetListed(asset, index, uint64(listedAt));
    }

    // ----------------------------------------------------------------------------------------------------- commitments

    /// @inheritdoc ISettlement
    /// @dev Both commitments are decoded once, into memory: reading each field from calldata checks it again each time.
    function commit(Commitment memory previous, Commitment memory next, bytes calldata signature) external {
        Head memory head_ = _head;
        _checkNotHalted(head_);
        _checkFollows(head_, previous, next);
        bytes32 digest = Encodings.commitmentDigest(domainSeparator, next);
        Authorisation.checkSigner(digest, signature, _operatorAt(next.cutAt));
        _checkBlockRange(previous, next);
        uint256 previousCutAt = head_.epoch == 0 ? 1000 * uint256(deployedAt) : previous.cutAt;
        _checkCut(previousCutAt, next.cutAt);
        _checkAssets(head_.assetCount, previousCutAt, previous.assets, next.assets);

        _head.epoch = head_.epoch + 1;
        _head.includedAt = uint48(block.timestamp);
        commitmentHash[next.epoch] = Encodings.commitmentHash(digest, uint64(block.timestamp));
        emit Committed(next.epoch, digest, uint64(block.timestamp), next, signature);
    }

    /// @dev Silence is counted from the later of the last inclusion and the first deposit: before anybody has money here,
    /// nobody can be harmed by it, and a ledger can not die before its first use.
    function _checkNotHalted(Head memory head_) private view {
        if (head_.firstDepositAt == 0) return;
        uint256 heardAt = Math.max(head_.includedAt, head_.firstDepositAt);
        if (block.timestamp > heardAt + maxSilence) revert Halted(heardAt + maxSilence);
    }

    /// @dev Compare-and-swap: `next` follows `previous`, which is the last one included, at the time noted in the head.
    function _checkFollows(Head memory head_, Commitment memory previous, Commitment memory next) private view {
        if (next.epoch != uint256(head_.epoch) + 1) revert EpochMismatch(head_.epoch + 1, next.epoch);

        bytes32 previousDigest;
        if (head_.epoch == 0) {
            Commitment memory none;
            bytes32 given = keccak256(abi.encode(previous));
            bytes32 expected = keccak256(abi.encode(none));
            if (given != expected) revert CommitmentMismatch(0, expected, given);
        } else {
            previousDigest = Encodings.commitmentDigest(domainSeparator, previous);
            _checkIncluded(head_.epoch, previousDigest, head_.includedAt);
        }
        if (next.previous != previousDigest) revert PreviousMismatch(previousDigest, next.previous);
    }

    function _checkIncluded(uint64 epoch, bytes32 digest, uint64 includedAt) private view {
        bytes32 stored = commitmentHash[epoch];
        bytes32 given = Encodings.commitmentHash(digest, includedAt);
        if (stored != given) revert CommitmentMismatch(epoch, stored, given);
    }

    /// @dev The operator key in force at a signed time, in milliseconds. There is one key for all time, until keys can be
    /// rotated; whatever checks the operator's signature asks here.
    function _operatorAt(uint64) private view returns (address) {
        return operator;
    }

    function _checkBlockRange(Commitment memory previous, Commitment memory next) private pure {
        uint256 expected = uint256(previous.lastBlock) + 1;
        if (next.firstBlock != expected) revert FirstBlockMismatch(expected, next.firstBlock);
        if (uint256(next.lastBlock) + 1 < next.firstBlock) revert LastBlockTooLow(next.firstBlock, next.lastBlock);
    }

    /// @dev In milliseconds.
    function _checkCut(uint256 previousCutAt, uint64 cutAt) private view {
        uint256 nowMs = 1000 * block.timestamp;
        uint256 earliest = previousCutAt + 1000 * uint256(minInterval);
        if (cutAt < earliest) revert CutTooEarly(earliest, cutAt);
        if (cutAt > nowMs) revert CutInFuture(nowMs, cutAt);
        uint256 oldestMs = 1000 * uint256(maxSilence);
        if (cutAt + oldestMs < nowMs) revert CutTooOld(nowMs - oldestMs, cutAt);
    }

    function _checkAssets(
        uint256 listed,
        uint256 previousCutAt,
        AssetCommitment[] memory previous,
        AssetCommitment[] memory next
    ) private view {
        uint256 least = previous.length;
        // Assets come into force in the order of listing, so the first that is missing is the oldest.
        while (least < listed && 1000 * uint256(_assetStates[_assets[least]].listedAt) < previousCutAt) ++least;
        if (next.length < least || next.length > listed) revert AssetCountMismatch(least, listed, next.length);

        AssetCommitment memory none;
        for (uint256 i = 0; i < next.length; ++i) {
            _checkAsset(i, previousCutAt, i < previous.length ? previous[i] : none, next[i]);
        }
    }

    /// @dev One asset's line against its last one: counts never fall nor exceed what the contract has, no old deposit is left
    /// out, and money is conserved. `previous` is all zero in an asset's first commitment.
    function _checkAsset(
        uint256 index,
        uint256 previousCutAt,
        AssetCommitment memory previous,
        AssetCommitment memory next
    ) private view {
        address asset = next.asset;
        AssetState storage state = _assetStates[asset];
        if (state.position != index + 1) revert AssetMismatch(index, asset);
        if (block.timestamp < state.listedAt) revert AssetNotInForce(asset, state.listedAt);
        if (next.accountCount < previous.accountCount) {
            revert AccountCountFell(asset, previous.accountCount, next.accountCount);
        }
        if (next.depositCount < previous.depositCount || next.depositCount > state.depositCount) {
            revert DepositCountMismatch(asset, previous.depositCount, state.depositCount, next.depositCount);
        }
        if (next.forcedCount < previous.forcedCount || next.forcedCount > state.forcedCount) {
            revert ForcedCountMismatch(asset, previous.forcedCount, state.forcedCount, next.forcedCount);
        }
        if (next.depositCount < state.depositCount) {
            uint64 timestamp = _deposits[asset][next.depositCount].timestamp;
            if (1000 * uint256(timestamp) < previousCutAt) revert DepositLeftOut(asset, next.depositCount, timestamp);
        }

        uint256 expected = previous.total;
        if (next.depositCount != previous.depositCount) {
            // There is a deposit after those that the last commitment counted: it says what came before it.
            expected += _sumOfDeposits(asset, next.depositCount) - _deposits[asset][previous.depositCount].before;
        }
        uint256 given = uint256(next.total) + next.withdrawn;
        if (given != expected) revert NotConserved(asset, expected, given);
    }

    /// @dev Of the first `count` deposits of an asset; there are that many.
    function _sumOfDeposits(address asset, uint64 count) private view returns (uint256) {
        AssetState storage state = _assetStates[asset];
        return count == state.depositCount ? state.deposited : _deposits[asset][count].before;
    }

    // ---------------------------------------------------------------------------------------------- finality and claims

    /// @inheritdoc ISettlement
    function advanceFinalEpoch(bytes32 digest, uint64 includedAt) external {
        uint48 epoch = _head.finalEpoch + 1;
        _checkIncluded(epoch, digest, includedAt);
        uint256 end = uint256(includedAt) + challengePeriod;
        if (block.timestamp <= end) revert ChallengePeriodRunning(epoch, end);

        _head.finalEpoch = epoch;
        emit FinalEpochAdvanced(epoch);
    }

    /// @inheritdoc ISettlement
    /// @dev The commitment is decoded once, as in `commit`.
    function claimWithdrawal(
        Commitment memory commitment,
        uint64 includedAt,
        uint256 assetIndex,
        uint64 index,
        bytes32 id,
        address recipient,
        uint128 amount,
        SumNode[] calldata siblings
    ) external nonReentrant {
        AssetCommitment memory line = _checkFinalLine(commitment, includedAt, assetIndex);
        if (isClaimed(commitment.epoch, line.asset, index)) {
            revert AlreadyClaimed(commitment.epoch, line.asset, index);
        }
        SumNode memory leaf = SumNode(Encodings.withdrawalLeaf(id, recipient, amount), amount);
        SumNode memory root = SumTree.computeRoot(leaf, index, line.withdrawalCount, siblings);
        if (root.hash != line.withdrawalsRoot || root.sum != line.withdrawn) revert RootMismatch(root.hash, root.sum);
        uint256 held_ = held(line.asset);
        if (held_ < amount) revert InsufficientHeld(line.asset, held_, amount);

        _assetStates[line.asset].paid += amount;
        _claimed[commitment.epoch][line.asset][index >> 8] |= 1 << (index & 0xff);
        emit WithdrawalClaimed(commitment.epoch, line.asset, index, id, recipient, amount);
        _pay(line.asset, recipient, amount);
    }

    /// @dev The line of an asset in a commitment that is stored and final.
    function _checkFinalLine(Commitment memory commitment, uint64 includedAt, uint256 assetIndex)
        private
        view
        returns (AssetCommitment memory)
    {
        _checkIncluded(commitment.epoch, Encodings.commitmentDigest(domainSeparator, commitment), includedAt);
        uint48 finalEpoch = _head.finalEpoch;
        if (commitment.epoch > finalEpoch) revert EpochNotFinal(commitment.epoch, finalEpoch);
        if (assetIndex >= commitment.assets.length) {
            revert AssetIndexOutOfRange(assetIndex, commitment.assets.length);
        }
        return commitment.assets[assetIndex];
    }

    /// @dev What a recipient returns is not copied, so it can burn no gas but what its own claim was given.
    function _pay(address asset, address recipient, uint256 amount) private {
        if (asset != ETHER) {
            IERC20(asset).safeTransfer(recipient, amount);
        } else if (!LowLevelCall.callNoReturn(recipient, amount, "")) {
            revert EtherNotAccepted(recipient);
        }
    }

    // ----------------------------------------------------------------------------------------------------------- views

    /// @inheritdoc ISettlement
    function head() external view returns (uint64 epoch, uint64 includedAt, uint64 finalEpoch) {
        return (_head.epoch, _head.includedAt, _head.finalEpoch);
    }

    /// @inheritdoc ISettlement
    function assetCount() external view returns (uint256) {
        return _head.assetCount;
    }

    /// @inheritdoc ISettlement
    function assetAt(uint256 index) external view returns (address asset, uint64 listedAt) {
        if (index >= _head.assetCount) revert AssetIndexOutOfRange(index, _head.assetCount);
        asset = _assets[index];
        listedAt = _assetStates[asset].listedAt;
    }

    /// @inheritdoc ISettlement
    function depositCount(address asset) external view returns (uint64) {
        return _assetStates[asset].depositCount;
    }

    /// @inheritdoc ISettlement
    function depositAt(address asset, uint64 index)
        external
        view
        returns (address account, uint128 amount, uint128 cumulative, uint64 timestamp)
    {
        if (index >= _assetStates[asset].depositCount) return (address(0), 0, 0, 0);
        Deposit memory entry = _deposits[asset][index];
        cumulative = uint128(_sumOfDeposits(asset, index + 1));
        return (entry.account, cumulative - entry.before, cumulative, entry.timestamp);
    }

    /// @inheritdoc ISettlement
    function held(address asset) public view returns (uint256) {
        AssetState storage state = _assetStates[asset];
        return state.deposited - state.paid;
    }

    /// @inheritdoc ISettlement
    function isClaimed(uint64 epoch, address asset, uint64 index) public view returns (bool) {
        return _claimed[epoch][asset][index >> 8] & (1 << (index & 0xff)) != 0;
    }
}
