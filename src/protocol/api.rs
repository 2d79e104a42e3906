//! The table of APIs: keys, names, versions, and what this broker serves.

use std::fmt;

/// Header version of requests before flexible versions (KIP-482): key, version, correlation id, client id.
const REQUEST_HEADER_PLAIN: i16 = 1;
/// Header version of flexible requests: as before, and tagged fields.
const REQUEST_HEADER_FLEXIBLE: i16 = 2;
/// `flexible_from` of an API without flexible versions.
const NEVER: i16 = i16::MAX;

/// The lowest Produce version that ApiVersions states although versions 0 to 2 are refused: librdkafka takes a broker
/// without version 0 for one that cannot compress (KAFKA-18659), so Kafka 4 states 0 as well.
const PRODUCE_STATED_MIN: i16 = 0;

/// What this broker knows about one API.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Api {
    /// The key.
    pub key: ApiKey,
    /// The lowest version that is served.
    pub min: i16,
    /// The highest version that is served.
    pub max: i16,
    /// The first version with compact lengths and tagged fields (KIP-482); `i16::MAX` where there is none.
    pub flexible_from: i16,
    /// Whether a handler stands behind it. Only these keys go into the ApiVersions reply; for the others the versions
    /// are those of Kafka 4.3.
    pub advertised: bool,
}

macro_rules! apis {
    ($($name:ident = $key:literal, $min:literal..=$max:literal, $flexible:expr, $advertised:ident;)*) => {
        /// A request type of Kafka 4.3, by its key.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(i16)]
        pub enum ApiKey {
            $(#[doc = stringify!($name)] $name = $key,)*
        }

        impl ApiKey {
            /// Kafka's name of the request type.
            pub fn name(self) -> &'static str {
                match self { $(ApiKey::$name => stringify!($name),)* }
            }

            /// The request type with key `code`, if Kafka 4.3 has one.
            pub fn from_code(code: i16) -> Option<ApiKey> {
                match code { $($key => Some(ApiKey::$name),)* _ => None }
            }
        }

        /// Every API of Kafka 4.3, by rising key.
        pub const TABLE: &[Api] = &[
            $(Api { key: ApiKey::$name, min: $min, max: $max, flexible_from: $flexible, advertised: $advertised },)*
        ];
    };
}

/// A handler stands behind the API.
const SERVED: bool = true;
/// No handler yet: the key is known, named in the refusal, and not advertised.
const KNOWN: bool = false;

apis! {
    Produce = 0, 3..=13, 9, SERVED;
    Fetch = 1, 4..=18, 12, SERVED;
    ListOffsets = 2, 1..=11, 6, SERVED;
    Metadata = 3, 0..=13, 9, SERVED;
    OffsetCommit = 8, 2..=10, 8, SERVED;
    OffsetFetch = 9, 1..=10, 6, SERVED;
    FindCoordinator = 10, 0..=6, 3, SERVED;
    JoinGroup = 11, 0..=9, 6, SERVED;
    Heartbeat = 12, 0..=4, 4, SERVED;
    LeaveGroup = 13, 0..=5, 4, SERVED;
    SyncGroup = 14, 0..=5, 4, SERVED;
    DescribeGroups = 15, 0..=6, 5, SERVED;
    ListGroups = 16, 0..=5, 3, SERVED;
    SaslHandshake = 17, 0..=1, NEVER, KNOWN;
    ApiVersions = 18, 0..=4, 3, SERVED;
    CreateTopics = 19, 2..=7, 5, SERVED;
    DeleteTopics = 20, 1..=6, 4, SERVED;
    DeleteRecords = 21, 0..=2, 2, SERVED;
    InitProducerId = 22, 0..=5, 2, SERVED;
    OffsetForLeaderEpoch = 23, 2..=4, 4, SERVED;
    AddPartitionsToTxn = 24, 0..=5, 3, SERVED;
    AddOffsetsToTxn = 25, 0..=4, 3, SERVED;
    EndTxn = 26, 0..=5, 3, SERVED;
    WriteTxnMarkers = 27, 1..=2, 1, SERVED;
    TxnOffsetCommit = 28, 0..=5, 3, SERVED;
    DescribeAcls = 29, 1..=3, 2, KNOWN;
    CreateAcls = 30, 1..=3, 2, KNOWN;
    DeleteAcls = 31, 1..=3, 2, KNOWN;
    DescribeConfigs = 32, 1..=4, 4, SERVED;
    AlterConfigs = 33, 0..=2, 2, SERVED;
    AlterReplicaLogDirs = 34, 1..=2, 2, KNOWN;
    DescribeLogDirs = 35, 1..=5, 2, KNOWN;
    SaslAuthenticate = 36, 0..=2, 2, KNOWN;
    CreatePartitions = 37, 0..=3, 2, SERVED;
    CreateDelegationToken = 38, 1..=3, 2, KNOWN;
    RenewDelegationToken = 39, 1..=2, 2, KNOWN;
    ExpireDelegationToken = 40, 1..=2, 2, KNOWN;
    DescribeDelegationToken = 41, 1..=3, 2, KNOWN;
    DeleteGroups = 42, 0..=2, 2, SERVED;
    ElectLeaders = 43, 0..=2, 2, KNOWN;
    IncrementalAlterConfigs = 44, 0..=1, 1, SERVED;
    AlterPartitionReassignments = 45, 0..=1, 0, KNOWN;
    ListPartitionReassignments = 46, 0..=0, 0, KNOWN;
    OffsetDelete = 47, 0..=0, NEVER, SERVED;
    DescribeClientQuotas = 48, 0..=1, 1, KNOWN;
    AlterClientQuotas = 49, 0..=1, 1, KNOWN;
    DescribeUserScramCredentials = 50, 0..=0, 0, KNOWN;
    AlterUserScramCredentials = 51, 0..=0, 0, KNOWN;
    Vote = 52, 0..=2, 0, KNOWN;
    BeginQuorumEpoch = 53, 0..=1, 1, KNOWN;
    EndQuorumEpoch = 54, 0..=1, 1, KNOWN;
    DescribeQuorum = 55, 0..=2, 0, KNOWN;
    AlterPartition = 56, 2..=3, 0, KNOWN;
    UpdateFeatures = 57, 0..=2, 0, KNOWN;
    Envelope = 58, 0..=0, 0, KNOWN;
    FetchSnapshot = 59, 0..=1, 0, KNOWN;
    DescribeCluster = 60, 0..=2, 0, SERVED;
    DescribeProducers = 61, 0..=0, 0, SERVED;
    BrokerRegistration = 62, 0..=4, 0, KNOWN;
    BrokerHeartbeat = 63, 0..=2, 0, KNOWN;
    UnregisterBroker = 64, 0..=0, 0, KNOWN;
    DescribeTransactions = 65, 0..=0, 0, SERVED;
    ListTransactions = 66, 0..=2, 0, SERVED;
    AllocateProducerIds = 67, 0..=0, 0, KNOWN;
    ConsumerGroupHeartbeat = 68, 0..=1, 0, SERVED;
    ConsumerGroupDescribe = 69, 0..=1, 0, SERVED;
    ControllerRegistration = 70, 0..=0, 0, KNOWN;
    GetTelemetrySubscriptions = 71, 0..=0, 0, KNOWN;
    PushTelemetry = 72, 0..=0, 0, KNOWN;
    AssignReplicasToDirs = 73, 0..=0, 0, KNOWN;
    ListConfigResources = 74, 0..=1, 0, SERVED;
    DescribeTopicPartitions = 75, 0..=0, 0, SERVED;
    ShareGroupHeartbeat = 76, 1..=1, 0, KNOWN;
    ShareGroupDescribe = 77, 1..=1, 0, KNOWN;
    ShareFetch = 78, 1..=2, 0, KNOWN;
    ShareAcknowledge = 79, 1..=2, 0, KNOWN;
    AddRaftVoter = 80, 0..=1, 0, KNOWN;
    RemoveRaftVoter = 81, 0..=0, 0, KNOWN;
    UpdateRaftVoter = 82, 0..=0, 0, KNOWN;
    InitializeShareGroupState = 83, 0..=0, 0, KNOWN;
    ReadShareGroupState = 84, 0..=0, 0, KNOWN;
    WriteShareGroupState = 85, 0..=1, 0, KNOWN;
    DeleteShareGroupState = 86, 0..=0, 0, KNOWN;
    ReadShareGroupStateSummary = 87, 0..=1, 0, KNOWN;
    StreamsGroupHeartbeat = 88, 0..=0, 0, KNOWN;
    StreamsGroupDescribe = 89, 0..=0, 0, KNOWN;
    DescribeShareGroupOffsets = 90, 0..=1, 0, KNOWN;
    AlterShareGroupOffsets = 91, 0..=0, 0, KNOWN;
    DeleteShareGroupOffsets = 92, 0..=0, 0, KNOWN;
}

impl ApiKey {
    /// The number that stands in request headers.
    pub fn code(self) -> i16 {
        self as i16
    }

    /// What this broker knows about the API.
    pub fn api(self) -> &'static Api {
        // Keys 4 to 7 are retired (KIP-500's end), so the table has a gap of four.
        let code = self.code() as usize;
        &TABLE[if code < 4 { code } else { code - 4 }]
    }
}

impl fmt::Display for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Api {
    /// The lowest version that the ApiVersions reply states. It is the lowest served one, except for Produce.
    pub fn stated_min(&self) -> i16 {
        if self.key == ApiKey::Produce { PRODUCE_STATED_MIN } else { self.min }
    }

    /// Whether `version` is served.
    pub fn serves(&self, version: i16) -> bool {
        (self.min..=self.max).contains(&version)
    }

    /// Whether `version` has compact lengths and tagged fields.
    pub fn is_flexible(&self, version: i16) -> bool {
        version >= self.flexible_from
    }
}

/// The APIs that go into the ApiVersions reply, by rising key.
pub fn advertised() -> impl Iterator<Item = &'static Api> {
    TABLE.iter().filter(|api| api.advertised)
}

/// A request that no handler can take. Kafka closes the connection on each of them without a reply
/// (`SocketServer.processCompletedReceives`), Produce 0 to 2 included: a reply needs a schema that both sides know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unsupported {
    /// No API of Kafka 4.3 has this key.
    UnknownKey {
        /// The key in the request's header.
        key: i16,
    },
    /// The API exists, but this broker neither serves nor advertises it.
    NotServed {
        /// The API.
        key: ApiKey,
        /// The version in the request's header.
        version: i16,
    },
    /// The API is served in other versions.
    Version {
        /// The API.
        key: ApiKey,
        /// The version in the request's header.
        version: i16,
    },
}

impl fmt::Display for Unsupported {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Unsupported::UnknownKey { key } => write!(f, "no API has key {key}"),
            Unsupported::NotServed { key, version } => {
                write!(f, "{key} (key {}, version {version}) is not served by this broker", key.code())
            }
            Unsupported::Version { key, version } => {
                let Api { min, max, .. } = key.api();
                write!(f, "{key} version {version} is not served: use a client that speaks {min} to {max}")
            }
        }
    }
}

impl std::error::Error for Unsupported {}

/// The API that serves requests of `key` at `version`.
///
/// ApiVersions passes at every version: its reply to an unknown one tells the client what to ask next (KIP-511,
/// [`super::api_versions`]).
///
/// # Errors
/// Why nothing serves it; the connection is then closed.
pub fn lookup(key: i16, version: i16) -> Result<&'static Api, Unsupported> {
    let key = ApiKey::from_code(key).ok_or(Unsupported::UnknownKey { key })?;
    let api = key.api();
    if !api.advertised {
        Err(Unsupported::NotServed { key, version })
    } else if api.serves(version) || key == ApiKey::ApiVersions {
        Ok(api)
    } else {
        Err(Unsupported::Version { key, version })
    }
}

/// Version of the header in front of a request: 2 for flexible versions, 1 otherwise and for unknown keys. The fields up
/// to the client id are the same in both.
pub fn request_header_version(key: i16, version: i16) -> i16 {
    let flexible = ApiKey::from_code(key).is_some_and(|key| key.api().is_flexible(version));
    if flexible { REQUEST_HEADER_FLEXIBLE } else { REQUEST_HEADER_PLAIN }
}

/// Version of the header in front of a reply: 1 (with tagged fields) for flexible versions, 0 otherwise. ApiVersions
/// stays at 0, because a client reads that reply before it knows which versions the broker speaks (KIP-511).
pub fn response_header_version(key: ApiKey, version: i16) -> i16 {
    i16::from(key != ApiKey::ApiVersions && key.api().is_flexible(version))
}

const _: () = {
    // `ApiKey::api` finds a row by its key alone.
    let mut row = 0;
    while row < TABLE.len() {
        let code = TABLE[row].key as usize;
        assert!(row == if code < 4 { code } else { code - 4 }, "the table is ordered by key without gaps but 4 to 7");
        assert!(TABLE[row].min <= TABLE[row].max, "every API has a version");
        row += 1;
    }
};
