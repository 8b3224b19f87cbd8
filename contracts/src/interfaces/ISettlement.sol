// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @notice What one epoch's commitment says about one asset. Amounts are base units.
/// @param asset the i-th line is about the i-th listed asset; the zero address is ether
/// @param stateRoot hash of the sum tree over all account leaves; its sum is `total`
/// @param total what all accounts hold at the end of the epoch
/// @param accountCount leaves of the state tree; never falls
/// @param depositCount deposits credited so far, over all epochs; never falls
/// @param forcedCount forced withdrawals carried out or found void so far, over all epochs; never falls
/// @param withdrawalsRoot hash of the sum tree over this epoch's withdrawals; its sum is `withdrawn`
/// @param withdrawalCount leaves of this epoch's withdrawals tree
/// @param withdrawn what leaves the ledger in this epoch
struct AssetCommitment {
    address asset;
    bytes32 stateRoot;
    uint128 total;
    uint64 accountCount;
    uint64 depositCount;
    uint64 forcedCount;
    bytes32 withdrawalsRoot;
    uint64 withdrawalCount;
    uint128 withdrawn;
}

/// @notice What goes to Ethereum for one epoch. Signed by the operator as EIP-712 typed data, submitted by anyone.
/// @param epoch consecutive, from 1
/// @param previous EIP-712 digest of the last commitment; zero for the first
/// @param firstBlock first block of the epoch; blocks count from 1
/// @param lastBlock last block of the epoch; `firstBlock - 1` if it has none
/// @param cutAt the operator's clock at the cut, in milliseconds since 1970
/// @param blocksRoot root of the list tree over the epoch's block hashes
/// @param extraRoot root over what only the ledger itself needs
/// @param assets one line for each listed asset, in the order of listing
struct Commitment {
    uint64 epoch;
    bytes32 previous;
    uint64 firstBlock;
    uint64 lastBlock;
    uint64 cutAt;
    bytes32 blocksRoot;
    bytes32 extraRoot;
    AssetCommitment[] assets;
}

/// @notice A node of a Merkle sum tree: its hash and the sum of all leaves below it.
struct SumNode {
    bytes32 hash;
    uint128 sum;
}

/// @notice What a deployment fixes for ever. All periods are in seconds.
/// @param operator signs blocks and commitments
/// @param coldKey kept for the orderly end and for announcing a new operator key; both arrive with the disputes
/// @param listingKey may list assets, and nothing else
/// @param nativeAsset the asset that payments in the form of Ethereum transactions move by `value`
/// @param challengePeriod how long after its inclusion a commitment may be questioned
/// @param answerPeriod how long the operator has to answer; used by the disputes
/// @param followUp how long an answer re-opens what it showed; used by the disputes
/// @param minInterval least time between the cuts of two epochs
/// @param maxSilence most time without a commitment before the ledger counts as halted
/// @param listingDelay time from the listing of an asset until it is in force
struct Parameters {
    address operator;
    address coldKey;
    address listingKey;
    address nativeAsset;
    uint64 challengePeriod;
    uint64 answerPeriod;
    uint64 followUp;
    uint64 minInterval;
    uint64 maxSilence;
    uint64 listingDelay;
}

/// @title Settlement: holds the assets of one ledger and the commitments of its operator
/// @notice Immutable, without upgrade and without an administrator over funds. The operator is not trusted with money: every
/// commitment must account for exactly what was deposited and what was withdrawn, measured by this contract's own counters.
/// @dev Times are in seconds, except `cutAt` of a commitment, which is in milliseconds. Each function refuses in the order in
/// which its refusals are listed. Nothing is written before the last refusal, but for what an asset's own transfer does.
interface ISettlement {
    // ---------------------------------------------------------------------------------------------------------- events

    /// @notice `sender` paid `amount` of `asset` into the ledger for `account`.
    event Deposited(
        address indexed asset, uint64 indexed index, address indexed account, address sender, uint128 amount
    );

    /// @notice A commitment was included. It is emitted whole, so that every follower can bring it as a preimage.
    event Committed(
        uint64 indexed epoch, bytes32 indexed digest, uint64 includedAt, Commitment commitment, bytes signature
    );

    /// @notice `asset` is the `index`-th listed asset and in force from `listedAt` on.
    event AssetListed(address indexed asset, uint256 index, uint64 listedAt);

    /// @notice `epoch` can not be questioned any more; its withdrawals may be claimed.
    event FinalEpochAdvanced(uint64 epoch);

    /// @notice A withdrawal of a final epoch was paid.
    event WithdrawalClaimed(
        uint64 indexed epoch, address indexed asset, uint64 index, bytes32 id, address indexed recipient, uint128 amount
    );

    // ---------------------------------------------------------------------------------------------------------- errors

    // Deployment and listing

    /// @notice An address that must name somebody is zero.
    error ZeroAddress();
    /// @notice Operator, cold and listing key are three keys: one that leaks must not be another.
    error KeysNotApart();
    /// @notice Without a challenge period nobody could question anything; without some silence allowed, nobody could commit.
    error ZeroPeriod();
    /// @notice Four cuts must fit into the longest silence, or an honest operator could be forced into it.
    error MinIntervalTooLong(uint64 minInterval, uint64 maxSilence);
    /// @notice Only the listing key may list.
    error NotListingKey(address sender);
    /// @notice Every commitment carries every asset, so their number is bounded.
    error TooManyAssets(uint256 limit);
    error AssetAlreadyListed(address asset);
    /// @notice There is no contract at the asset's address, or the asset is ether where a token is needed.
    error NotAToken(address asset);

    // Deposits

    error ZeroAmount();
    error UnknownAsset(address asset);
    error AssetNotInForce(address asset, uint64 listedAt);
    /// @notice The operator has been silent since before `haltedAt`, which ends the ledger: no commitments, no deposits.
    error Halted(uint256 haltedAt);
    /// @notice The token's transfer succeeded, but nothing arrived.
    error NothingReceived(address asset);
    /// @notice All deposits of an asset together must not exceed `limit`.
    error AmountTooLarge(uint256 cumulative, uint256 limit);

    // Commitments

    error EpochMismatch(uint64 expected, uint64 given);
    /// @notice The commitment given as the last one is not what the contract has stored for `epoch`.
    error CommitmentMismatch(uint64 epoch, bytes32 stored, bytes32 given);
    /// @notice The new commitment does not name the digest of the last one.
    error PreviousMismatch(bytes32 expected, bytes32 given);
    /// @notice Not a canonical signature (65 bytes, low s, v 27 or 28), or by somebody else; zero if by nobody.
    error InvalidSignature(address signer);
    /// @notice Blocks must continue where the last epoch ended.
    error FirstBlockMismatch(uint256 expected, uint64 given);
    error LastBlockTooLow(uint64 firstBlock, uint64 lastBlock);
    /// @notice The cut is less than `minInterval` after the last one. Milliseconds.
    error CutTooEarly(uint256 earliest, uint64 cutAt);
    /// @notice The cut is in the future. Milliseconds.
    error CutInFuture(uint256 latest, uint64 cutAt);
    /// @notice The cut is more than `maxSilence` ago. Milliseconds.
    error CutTooOld(uint256 earliest, uint64 cutAt);
    /// @notice The list of assets became shorter, leaves out one that was listed before the last cut, or is longer than
    /// what is listed.
    error AssetCountMismatch(uint256 least, uint256 most, uint256 given);
    /// @notice The asset at this place of the list is another, or none.
    error AssetMismatch(uint256 index, address given);
    /// @notice A count fell below the last commitment's, or exceeds what the contract has.
    error AccountCountFell(address asset, uint64 previous, uint64 given);
    error DepositCountMismatch(address asset, uint64 least, uint64 most, uint64 given);
    error ForcedCountMismatch(address asset, uint64 least, uint64 most, uint64 given);
    /// @notice A deposit made before the last cut is left out.
    error DepositLeftOut(address asset, uint64 index, uint64 timestamp);
    /// @notice The ledger would hold more or less than what it held before and was deposited, less what is withdrawn.
    error NotConserved(address asset, uint256 expected, uint256 given);

    // Finality and claims

    /// @notice The challenge period of the epoch runs until `end`, inclusive.
    error ChallengePeriodRunning(uint64 epoch, uint256 end);
    error EpochNotFinal(uint64 epoch, uint64 finalEpoch);
    error AssetIndexOutOfRange(uint256 assetIndex, uint256 assetCount);
    error AlreadyClaimed(uint64 epoch, address asset, uint64 index);
    /// @notice The proof does not end in the commitment's root and sum.
    error RootMismatch(bytes32 root, uint128 sum);
    /// @notice More than the contract holds of the asset; never, unless the commitments were dishonest.
    error InsufficientHeld(address asset, uint256 held, uint128 amount);
    /// @notice The recipient refused the ether.
    error EtherNotAccepted(address recipient);

    // --------------------------------------------------------------------------------------------------------- deposits

    /// @notice Pulls `amount` of an ERC-20 token from the caller, and queues what arrived for `account`.
    /// @dev Only the caller ever pays. What is credited is measured, so a token that takes a fee is credited net of it.
    /// Refuses: ZeroAddress, ZeroAmount, NotAToken, UnknownAsset, AssetNotInForce, Halted, what the token refuses,
    /// NothingReceived, AmountTooLarge.
    function deposit(address asset, address account, uint128 amount) external;

    /// @notice `deposit` with the caller's EIP-2612 permit instead of an earlier approval.
    /// @dev Refuses as `deposit` does. A permit that fails is no refusal by itself: anybody may have submitted it before.
    function depositWithPermit(
        address asset,
        address account,
        uint128 amount,
        uint256 deadline,
        uint8 v,
        bytes32 r,
        bytes32 s
    ) external;

    /// @notice Queues the ether sent for `account`.
    /// @dev Refuses: ZeroAddress, ZeroAmount, UnknownAsset, AssetNotInForce, Halted, AmountTooLarge.
    function depositEther(address account) external payable;

    // ---------------------------------------------------------------------------------------------------------- listing

    /// @notice Lists an asset, in force after `listingDelay`. For the listing key only.
    /// @dev Refuses: NotListingKey, TooManyAssets, AssetAlreadyListed, NotAToken.
    function listAsset(address asset) external;

    // ------------------------------------------------------------------------------------------------------ commitments

    /// @notice Includes the commitment of the next epoch. Anybody may submit what the operator signed.
    /// @dev Compare-and-swap on epoch and digest, so a retry or a second submitter can neither repeat nor fork. Refuses:
    /// Halted, EpochMismatch, CommitmentMismatch, PreviousMismatch, InvalidSignature, FirstBlockMismatch, LastBlockTooLow,
    /// CutTooEarly, CutInFuture, CutTooOld, AssetCountMismatch, and for each asset in order: AssetMismatch,
    /// AssetNotInForce, AccountCountFell, DepositCountMismatch, ForcedCountMismatch, DepositLeftOut, NotConserved.
    /// @param previous the last commitment as it was included; all zero, without assets, before the first
    /// @param signature of `next` by the operator key in force at `next.cutAt`; 65 bytes r ‖ s ‖ v
    function commit(Commitment calldata previous, Commitment calldata next, bytes calldata signature) external;

    /// @notice Moves `finalEpoch` on by one, once the challenge period of that epoch is over. Anybody may.
    /// @dev Refuses: CommitmentMismatch, ChallengePeriodRunning.
    /// @param digest of the commitment of epoch `finalEpoch + 1`
    /// @param includedAt when that commitment was included
    function advanceFinalEpoch(bytes32 digest, uint64 includedAt) external;

    /// @notice Pays a withdrawal of a final epoch to its recipient, once. Anybody may call.
    /// @dev Paid withdrawals are marked by (epoch, asset, index); the id plays no part in it. Refuses: CommitmentMismatch,
    /// EpochNotFinal, AssetIndexOutOfRange, AlreadyClaimed, what the proof is refused for, RootMismatch,
    /// InsufficientHeld, EtherNotAccepted or what the token refuses. A refused payment can be claimed again later.
    /// @param commitment the commitment of the withdrawal's epoch
    /// @param includedAt when it was included
    /// @param assetIndex place of the asset in the commitment
    /// @param index place of the withdrawal in the asset's withdrawals of the epoch
    /// @param id of the payment or request that withdrew
    /// @param siblings from the leaf upwards, exactly ceil(log2(withdrawalCount)) of them
    function claimWithdrawal(
        Commitment calldata commitment,
        uint64 includedAt,
        uint256 assetIndex,
        uint64 index,
        bytes32 id,
        address recipient,
        uint128 amount,
        SumNode[] calldata siblings
    ) external;

    // ------------------------------------------------------------------------------------------------------------ views

    /// @notice 2^40 + the first 5 bytes of keccak256(L1 chain id u256 ‖ address of this contract).
    function ledgerChainId() external view returns (uint64);

    /// @notice EIP-712 domain separator: name "Tallystick", version "1", the ledger chain id, this contract.
    function domainSeparator() external view returns (bytes32);

    function operator() external view returns (address);

    function coldKey() external view returns (address);

    function listingKey() external view returns (address);

    function nativeAsset() external view returns (address);

    function challengePeriod() external view returns (uint64);

    function answerPeriod() external view returns (uint64);

    function followUp() external view returns (uint64);

    function minInterval() external view returns (uint64);

    function maxSilence() external view returns (uint64);

    function listingDelay() external view returns (uint64);

    /// @notice Time of deployment; stands for the cut before epoch 1.
    function deployedAt() external view returns (uint64);

    /// @notice The last epoch committed, when it was included, and the last final epoch; zeros for none.
    function head() external view returns (uint64 epoch, uint64 includedAt, uint64 finalEpoch);

    /// @notice keccak256(digest ‖ includedAt u64) of the epoch's commitment, zero if there is none.
    function commitmentHash(uint64 epoch) external view returns (bytes32);

    function assetCount() external view returns (uint256);

    /// @notice The `index`-th listed asset and when it is in force. Refuses: AssetIndexOutOfRange.
    function assetAt(uint256 index) external view returns (address asset, uint64 listedAt);

    function depositCount(address asset) external view returns (uint64);

    /// @notice The `index`-th deposit of an asset; all zero for none.
    /// @return account whom it is for
    /// @return amount what arrived
    /// @return cumulative of this and all earlier deposits of the asset
    /// @return timestamp of its L1 block
    function depositAt(address asset, uint64 index)
        external
        view
        returns (address account, uint128 amount, uint128 cumulative, uint64 timestamp);

    /// @notice What the contract owes of an asset: deposits less claims, by its own count. Donations do not enter it.
    function held(address asset) external view returns (uint256);

    function isClaimed(uint64 epoch, address asset, uint64 index) external view returns (bool);
}
