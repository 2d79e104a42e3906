//! What the cluster is: its topics, partitions, brokers and dynamic configuration.
//!
//! **Owns:** the metadata log's records ([`record`]) and their encoding; the immutable [`image`] they replay into and the
//! [`delta`] from one image to the next; the decisions that make records ([`controller`]); every configuration name with
//! its type, default, rule and documentation ([`config`]).
//!
//! **Never:** reads a clock or a disk, awaits, or knows a connection; never changes an image in place: a decision is a
//! function from an image and a request to records and answers, and only the replay of records makes the next image.
//!
//! **Start reading at** [`record`], then [`image`] and [`controller::topics`].

pub mod config;
pub mod controller;
pub mod delta;
pub mod image;
pub mod record;
