//! What the group coordinators run with, resolved from the broker's configuration.

use crate::base::time::Duration;
use crate::metadata::config::definition::Value;
use crate::metadata::config::group_configs;
use crate::metadata::config::layers::Layers;
use crate::metadata::image::{Configs, Image};
use crate::model::error_code::{ClientError, ErrorCode};

/// Which way groups in use may change their protocol (`group.consumer.migration.policy`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MigrationPolicy {
    /// Classic groups may become consumer groups.
    pub upgrade: bool,
    /// Consumer groups may become classic groups.
    pub downgrade: bool,
}

impl MigrationPolicy {
    fn parse(text: &str) -> MigrationPolicy {
        match text.to_ascii_lowercase().as_str() {
            "disabled" => MigrationPolicy { upgrade: false, downgrade: false },
            "upgrade" => MigrationPolicy { upgrade: true, downgrade: false },
            "downgrade" => MigrationPolicy { upgrade: false, downgrade: true },
            _ => MigrationPolicy { upgrade: true, downgrade: true },
        }
    }

    /// Whether groups in use keep their protocol.
    pub fn is_disabled(self) -> bool {
        !self.upgrade && !self.downgrade
    }
}

/// How a classic group is run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClassicSettings {
    /// Smallest session timeout a member may ask for, in milliseconds.
    pub session_timeout_ms_min: i64,
    /// Largest session timeout a member may ask for, in milliseconds.
    pub session_timeout_ms_max: i64,
    /// How long a new group waits for more members before its first rebalance.
    pub initial_rebalance_delay: Duration,
    /// Most members of a group.
    pub size_max: usize,
}

/// How a consumer group is run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsumerSettings {
    /// Whether the protocol may be used.
    pub is_on: bool,
    /// How long a member may be silent.
    pub session_timeout: Duration,
    /// How often members are told to send heartbeats, in milliseconds.
    pub heartbeat_interval_ms: i32,
    /// Most members of a group.
    pub size_max: usize,
    /// Shortest time between two target assignments, in milliseconds (KIP-1263).
    pub assignment_interval_ms: i64,
    /// The assignors on offer, the default first.
    pub assignors: Vec<String>,
    /// Which way groups in use may change their protocol.
    pub migration: MigrationPolicy,
}

impl ConsumerSettings {
    /// # Errors
    /// UNSUPPORTED_VERSION where the operator has turned the protocol off.
    pub fn check_is_on(&self) -> Result<(), ClientError> {
        if self.is_on {
            return Ok(());
        }
        let message = "The consumer group protocol is off: group.coordinator.rebalance.protocols does not name it.";
        Err(ClientError::new(ErrorCode::UnsupportedVersion, message.to_owned()))
    }
}

/// How groups are run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupSettings {
    /// Groups of the classic protocol.
    pub classic: ClassicSettings,
    /// Groups of the consumer protocol.
    pub consumer: ConsumerSettings,
}

impl Default for GroupSettings {
    /// Kafka's defaults.
    fn default() -> GroupSettings {
        let (image, statics) = (Image::empty(), Configs::new());
        GroupSettings::resolve(&Layers::new(&image, &statics, 0))
    }
}

impl GroupSettings {
    /// The settings of a group whose own dynamic configs are `own`, by the layers of a broker's configuration.
    pub fn of_group(&self, layers: &Layers<'_>, own: &Configs) -> GroupSettings {
        let whole = |name| group_configs::whole(layers, own, name);
        let consumer = ConsumerSettings {
            session_timeout: milliseconds(whole(group_configs::CONSUMER_SESSION_TIMEOUT_MS)),
            heartbeat_interval_ms: i32::try_from(whole(group_configs::CONSUMER_HEARTBEAT_INTERVAL_MS))
                .unwrap_or(i32::MAX),
            assignment_interval_ms: whole(group_configs::CONSUMER_ASSIGNMENT_INTERVAL_MS),
            ..self.consumer.clone()
        };
        GroupSettings { classic: self.classic.clone(), consumer }
    }

    /// The settings by the layers of a broker's configuration, for groups that set nothing themselves.
    pub fn resolve(layers: &Layers<'_>) -> GroupSettings {
        let size = |name| usize::try_from(layers.whole(name)).unwrap_or(usize::MAX);
        let unset = Configs::new();
        let whole = |name| group_configs::whole(layers, &unset, name);
        GroupSettings {
            classic: ClassicSettings {
                session_timeout_ms_min: layers.whole("group.min.session.timeout.ms"),
                session_timeout_ms_max: layers.whole("group.max.session.timeout.ms"),
                initial_rebalance_delay: milliseconds(layers.whole("group.initial.rebalance.delay.ms")),
                size_max: size("group.max.size"),
            },
            consumer: ConsumerSettings {
                is_on: list(layers, "group.coordinator.rebalance.protocols").iter().any(|name| name == "consumer"),
                session_timeout: milliseconds(whole(group_configs::CONSUMER_SESSION_TIMEOUT_MS)),
                heartbeat_interval_ms: i32::try_from(whole(group_configs::CONSUMER_HEARTBEAT_INTERVAL_MS))
                    .unwrap_or(i32::MAX),
                size_max: size("group.consumer.max.size"),
                assignment_interval_ms: whole(group_configs::CONSUMER_ASSIGNMENT_INTERVAL_MS),
                assignors: assignors(layers),
                migration: MigrationPolicy::parse(&text(layers, "group.consumer.migration.policy")),
            },
        }
    }
}

/// The assignors of the configuration; all that this broker has where the list is empty.
fn assignors(layers: &Layers<'_>) -> Vec<String> {
    let configured = list(layers, "group.consumer.assignors");
    if configured.is_empty() { super::consumer::assignor::NAMES.map(str::to_owned).to_vec() } else { configured }
}

fn list(layers: &Layers<'_>, name: &str) -> Vec<String> {
    match layers.value(name) {
        Some(Value::List(items)) => items,
        _ => Vec::new(),
    }
}

fn text(layers: &Layers<'_>, name: &str) -> String {
    layers.value(name).map(|value| value.to_string()).unwrap_or_default()
}

/// A number of milliseconds as a duration; nothing below zero.
pub fn milliseconds(count: impl Into<i64>) -> Duration {
    Duration::from_millis(count.into().max(0).unsigned_abs())
}
