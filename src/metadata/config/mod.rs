//! Configuration by Kafka's names: what each config is, what it is set to and where that comes from.
//!
//! **Owns:** the type, default, rule and documentation of every topic config ([`topic_configs`]), group config ([`group_configs`])
//! and broker config ([`broker_configs`]) as Apache Kafka 4.3 has them; reading and checking values ([`definition`]); the layers a value can come from
//! ([`layers`]); DescribeConfigs' answers ([`describe`]); the typed values a topic runs with ([`settings`]).
//!
//! **Never:** reads a file or an environment (the process's own configuration does, and hands the static Kafka properties
//! in); acts on a value.
//!
//! **Start reading at** [`definition`], then [`layers`].

pub mod broker_configs;
pub mod definition;
pub mod describe;
#[cfg(test)]
mod golden;
pub mod group_configs;
pub mod layers;
pub mod settings;
pub mod topic_configs;
