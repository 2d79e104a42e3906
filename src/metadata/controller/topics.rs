//! Creating and deleting topics, and adding partitions to them.

use super::configs::{differences, validate_topic_configs};
use super::internal_topics::is_internal;
use super::names::{CLUSTER_METADATA_TOPIC, colliding_topic, validate_topic_name};
use super::placement::Placer;
use super::{Context, Decision, PARTITIONS_PER_REQUEST_MAX};
use crate::metadata::config::describe::{self, ConfigEntry, Filter};
use crate::metadata::image::{Configs, Topic};
use crate::metadata::record::{ConfigResource, MetadataRecord, PartitionRegistration};
use crate::model::error_code::{ClientError, ErrorCode};
use crate::model::ids::{BrokerId, PartitionId, PartitionIndex, TopicId, Uuid, base64_url};
use std::collections::{BTreeMap, BTreeSet};

#[cfg(test)]
mod tests;

/// How often a fresh topic id is drawn again because the one drawn is taken or reserved: a second draw is all but impossible.
const TOPIC_ID_DRAWS_MAX: usize = 16;

/// Topic ids that Kafka keeps for itself: none, and that of the metadata log.
const RESERVED_TOPIC_IDS: [u128; 2] = [0, 1];

/// A topic to be created, as CreateTopics carries it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NewTopic {
    /// Its name.
    pub name: String,
    /// How many partitions, -1 for the default (KIP-464).
    pub partitions: i32,
    /// How many replicas each, -1 for the default.
    pub replication_factor: i16,
    /// Which brokers host which partition; empty to leave that to the controller. With it the two numbers above are -1.
    pub assignments: Vec<Assignment>,
    /// The topic's configs; a config without a value is refused.
    pub configs: Vec<(String, Option<String>)>,
}

/// The replicas of one new partition, leader first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Assignment {
    /// The partition.
    pub partition: PartitionIndex,
    /// Its replicas.
    pub replicas: Vec<BrokerId>,
}

/// The answer for one topic to be created.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CreateTopicResult {
    /// Its name.
    pub name: String,
    /// The topic as it will be, or why not.
    pub outcome: Result<CreatedTopic, ClientError>,
}

/// A topic as it will be once the records are applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CreatedTopic {
    /// Its id.
    pub id: TopicId,
    /// How many partitions it has.
    pub partitions: i32,
    /// How many replicas each.
    pub replication_factor: i16,
    /// All its configs (KIP-525).
    pub configs: Vec<ConfigEntry>,
}

/// Partitions to be added to a topic, as CreatePartitions carries them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewPartitions {
    /// The topic's name.
    pub topic: String,
    /// How many partitions it is to have in all.
    pub count: i32,
    /// Which brokers host each new partition, if the request says so.
    pub assignments: Option<Vec<Vec<BrokerId>>>,
}

/// The answer for one topic that was to get partitions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CreatePartitionsResult {
    /// The topic's name.
    pub topic: String,
    /// Why it gets none, if so.
    pub outcome: Result<(), ClientError>,
}

/// A topic to be deleted, as DeleteTopics carries it: by name, or by id with the nil uuid for none (KIP-516).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicToDelete {
    /// Its name.
    pub name: Option<String>,
    /// Its id.
    pub id: TopicId,
}

/// The answer for one topic to be deleted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeleteTopicResult {
    /// Its name, as far as it is known.
    pub name: Option<String>,
    /// Its id, nil if it is not known.
    pub id: TopicId,
    /// Why it is not deleted, if so.
    pub outcome: Result<(), ClientError>,
}

fn error(code: ErrorCode, message: impl Into<String>) -> ClientError {
    ClientError::new(code, message)
}

/// Decides a CreateTopics request. `fresh_id` draws random topic ids (version 4 uuids).
pub fn create_topics(
    context: &Context<'_>,
    topics: &[NewTopic],
    validate_only: bool,
    fresh_id: &mut dyn FnMut() -> Uuid,
) -> Decision<CreateTopicResult> {
    let mut creation = Creation::new(context);
    let mut results = Vec::new();
    let excessive = requested_partitions(context, topics) > PARTITIONS_PER_REQUEST_MAX;
    let mut times: BTreeMap<&str, usize> = BTreeMap::new();
    topics.iter().for_each(|topic| *times.entry(&topic.name).or_default() += 1);
    for topic in topics {
        // A name asked for twice is answered once, and not created.
        let repeated = match times.remove(topic.name.as_str()) {
            Some(times) => times > 1,
            None => continue,
        };
        let outcome = if repeated {
            Err(error(ErrorCode::InvalidRequest, "Duplicate topic name."))
        } else if excessive {
            Err(excessive_partitions())
        } else {
            creation.create_topic(topic, fresh_id)
        };
        results.push(CreateTopicResult { name: topic.name.clone(), outcome });
    }
    Decision { records: if validate_only { Vec::new() } else { creation.records }, results }
}

fn excessive_partitions() -> ClientError {
    error(ErrorCode::PolicyViolation, "Excessively large number of partitions per request.")
}

fn requested_partitions(context: &Context<'_>, topics: &[NewTopic]) -> usize {
    let default = context.layers().whole("num.partitions");
    let of_topic = |topic: &NewTopic| match topic.partitions {
        _ if !topic.assignments.is_empty() => topic.assignments.len(),
        -1 => usize::try_from(default).unwrap_or(0),
        count => usize::try_from(count).unwrap_or(0),
    };
    topics.iter().map(of_topic).fold(0, usize::saturating_add)
}

/// Records being made, and what they will add to each broker.
struct Creation<'a> {
    context: &'a Context<'a>,
    placer: Placer,
    records: Vec<MetadataRecord>,
    drawn_ids: BTreeSet<TopicId>,
    added: BTreeMap<BrokerId, u64>,
}

impl<'a> Creation<'a> {
    fn new(context: &'a Context<'a>) -> Creation<'a> {
        Creation {
            context,
            placer: Placer::new(context.image.brokers()),
            records: Vec::new(),
            drawn_ids: BTreeSet::new(),
            added: BTreeMap::new(),
        }
    }

    fn create_topic(
        &mut self,
        topic: &NewTopic,
        fresh_id: &mut dyn FnMut() -> Uuid,
    ) -> Result<CreatedTopic, ClientError> {
        self.check_name(&topic.name)?;
        let configs = topic_configs(topic)?;
        validate_topic_configs(&self.context.layers(), &configs)?;
        let id = self.draw_id(fresh_id)?;
        let assignments =
            if topic.assignments.is_empty() { self.place_topic(topic, id)? } else { self.check_manual_topic(topic)? };
        let partitions = self.partitions(id, 0, &assignments)?;
        self.reserve(&assignments)?;
        self.records.push(MetadataRecord::Topic { name: topic.name.clone(), id });
        let resource = ConfigResource::Topic(topic.name.clone());
        self.records.extend(differences(&resource, &Configs::new(), &configs));
        self.records.extend(partitions);
        Ok(CreatedTopic {
            id,
            partitions: i32::try_from(assignments.len()).expect("a request creates few partitions"),
            replication_factor: assignments.first().map_or(0, |replicas| replicas.len() as i16),
            configs: describe::describe_topic(&self.context.layers(), &configs, Filter::All),
        })
    }

    fn check_name(&self, name: &str) -> Result<(), ClientError> {
        validate_topic_name(name)?;
        if name == CLUSTER_METADATA_TOPIC {
            let message = format!("Creation of internal topic {CLUSTER_METADATA_TOPIC} is prohibited.");
            return Err(error(ErrorCode::InvalidRequest, message));
        }
        if self.context.image.topic(name).is_some() {
            return Err(error(ErrorCode::TopicAlreadyExists, format!("Topic '{name}' already exists.")));
        }
        match colliding_topic(self.context.image, name) {
            Some(other) => {
                let message = format!("Topic '{name}' collides with existing topic: {other}");
                Err(error(ErrorCode::InvalidTopicException, message))
            }
            None => Ok(()),
        }
    }

    fn draw_id(&mut self, fresh_id: &mut dyn FnMut() -> Uuid) -> Result<TopicId, ClientError> {
        for _ in 0..TOPIC_ID_DRAWS_MAX {
            let id = fresh_id();
            let taken = self.context.image.topic_by_id(id).is_some() || self.drawn_ids.contains(&id);
            // Kafka draws no id that prints with a dash in front, which command lines would take for an option.
            let reserved = RESERVED_TOPIC_IDS.contains(&id.as_u128()) || base64_url(id).starts_with('-');
            if !taken && !reserved {
                self.drawn_ids.insert(id);
                return Ok(id);
            }
        }
        Err(error(ErrorCode::UnknownServerError, "No fresh topic id could be drawn; try again."))
    }

    fn place_topic(&self, topic: &NewTopic, id: TopicId) -> Result<Vec<Vec<BrokerId>>, ClientError> {
        let layers = self.context.layers();
        if topic.replication_factor < -1 || topic.replication_factor == 0 {
            let message = "Replication factor must be larger than 0, or -1 to use the default value.";
            return Err(error(ErrorCode::InvalidReplicationFactor, message));
        }
        if topic.partitions < -1 || topic.partitions == 0 {
            let message = "Number of partitions was set to an invalid non-positive value.";
            return Err(error(ErrorCode::InvalidPartitions, message));
        }
        let or_default = |number: i64, name| if number == -1 { layers.whole(name) } else { number };
        let count = or_default(topic.partitions.into(), "num.partitions");
        let replication_factor = or_default(topic.replication_factor.into(), "default.replication.factor");
        let replicas = usize::try_from(replication_factor).unwrap_or(0);
        self.placer.place(id, 0, usize::try_from(count).unwrap_or(0), replicas).map_err(|reason| {
            let message = format!("Unable to replicate the partition {replication_factor} time(s): {reason}");
            error(ErrorCode::InvalidReplicationFactor, message)
        })
    }

    fn check_manual_topic(&self, topic: &NewTopic) -> Result<Vec<Vec<BrokerId>>, ClientError> {
        let numbers =
            [(i32::from(topic.replication_factor), "replication factor"), (topic.partitions, "numPartitions")];
        for (number, name) in numbers {
            if number != -1 {
                let message = format!("A manual partition assignment was specified, but {name} was not set to -1.");
                return Err(error(ErrorCode::InvalidRequest, message));
            }
        }
        let mut by_index: BTreeMap<PartitionIndex, &Vec<BrokerId>> = BTreeMap::new();
        let mut replication_factor = None;
        for Assignment { partition, replicas } in &topic.assignments {
            if by_index.insert(*partition, replicas).is_some() {
                return Err(invalid_assignment(format!(
                    "Found multiple manual partition assignments for partition {partition}"
                )));
            }
            self.check_manual(replicas, replication_factor)?;
            replication_factor = Some(replicas.len());
        }
        if !by_index.keys().copied().eq(0..by_index.len() as i32) {
            return Err(invalid_assignment("partitions should be a consecutive 0-based integer sequence"));
        }
        Ok(by_index.into_values().cloned().collect())
    }

    fn check_manual(&self, replicas: &[BrokerId], replication_factor: Option<usize>) -> Result<(), ClientError> {
        let refused =
            |what: String| Err(invalid_assignment(format!("The manual partition assignment includes {what}")));
        if replicas.is_empty() {
            return refused("an empty replica list.".to_owned());
        }
        let mut seen = BTreeSet::new();
        for id in replicas {
            if self.context.image.broker(*id).is_none() {
                return refused(format!("broker {id}, but no such broker is registered."));
            }
            if !seen.insert(id) {
                return refused(format!("the broker {id} more than once."));
            }
        }
        match replication_factor {
            Some(expected) if expected != replicas.len() => refused(format!(
                "a partition with {} replica(s), but this is not consistent with previous partitions, which have \
                 {expected} replica(s).",
                replicas.len()
            )),
            _ if replicas.len() > i16::MAX as usize => refused("more replicas than a partition can have.".to_owned()),
            _ => Ok(()),
        }
    }

    /// The records of the partitions from `first` on. The ISR starts as the replicas that are not fenced.
    fn partitions(
        &self,
        topic: TopicId,
        first: i32,
        assignments: &[Vec<BrokerId>],
    ) -> Result<Vec<MetadataRecord>, ClientError> {
        let is_active = |id: &BrokerId| self.context.image.broker(*id).is_some_and(|broker| !broker.fenced);
        let of_partition = |(index, replicas): (i32, &Vec<BrokerId>)| {
            let isr: Vec<BrokerId> = replicas.iter().copied().filter(is_active).collect();
            let Some(leader) = isr.first().copied() else {
                return Err(invalid_assignment(format!(
                    "All brokers specified in the manual partition assignment for partition {index} are fenced or in \
                     controlled shutdown."
                )));
            };
            Ok(MetadataRecord::Partition(PartitionRegistration {
                partition: PartitionId { topic, index },
                leader,
                leader_epoch: 0,
                partition_epoch: 0,
                replicas: replicas.clone(),
                isr,
            }))
        };
        (first..).zip(assignments).map(of_partition).collect()
    }

    /// Counts the replicas against what each broker may host.
    fn reserve(&mut self, assignments: &[Vec<BrokerId>]) -> Result<(), ClientError> {
        let mut added = self.added.clone();
        assignments.iter().flatten().for_each(|id| *added.entry(*id).or_default() += 1);
        let max = self.context.partitions_per_broker_max;
        for (id, more) in &added {
            let hosted = u64::from(self.context.image.replica_count(*id)) + more;
            if hosted > u64::from(max) {
                return Err(error(
                    ErrorCode::PolicyViolation,
                    format!(
                        "Broker {id} would host {hosted} partition replicas, more than the {max} it may: create fewer \
                         partitions, add brokers, or raise the bound."
                    ),
                ));
            }
        }
        self.added = added;
        Ok(())
    }

    fn create_partitions(&mut self, request: &NewPartitions) -> Result<(), ClientError> {
        let topic = self.context.image.topic(&request.topic).ok_or_else(unknown_topic_or_partition)?;
        if is_internal(&topic.name) {
            let message = format!(
                "Groups and transactional ids find their place in '{}' by the number of its partitions, which therefore stays.",
                topic.name
            );
            return Err(error(ErrorCode::InvalidPartitions, message));
        }
        let (first, additional) = (topic.partition_count(), added_partitions(topic, request)?);
        if self.records.len() + additional > PARTITIONS_PER_REQUEST_MAX {
            return Err(excessive_partitions());
        }
        let assignments = match &request.assignments {
            Some(assignments) => {
                let replicas = topic.replication_factor();
                assignments.iter().try_for_each(|assignment| self.check_manual(assignment, Some(replicas)))?;
                assignments.clone()
            }
            None => self
                .placer
                .place(topic.id, topic.partitions.len(), additional, topic.replication_factor())
                .map_err(|reason| error(ErrorCode::InvalidReplicationFactor, reason))?,
        };
        let partitions = self.partitions(topic.id, first, &assignments)?;
        self.reserve(&assignments)?;
        self.records.extend(partitions);
        Ok(())
    }
}

fn invalid_assignment(message: impl Into<String>) -> ClientError {
    error(ErrorCode::InvalidReplicaAssignment, message)
}

fn unknown_topic_or_partition() -> ClientError {
    error(ErrorCode::UnknownTopicOrPartition, "This server does not host this topic-partition.")
}

fn topic_configs(topic: &NewTopic) -> Result<Configs, ClientError> {
    let nulls: Vec<&str> =
        topic.configs.iter().filter(|(_, value)| value.is_none()).map(|(name, _)| name.as_str()).collect();
    if !nulls.is_empty() {
        let message = format!("Null value not supported for topic configs: {}", nulls.join(","));
        return Err(error(ErrorCode::InvalidConfig, message));
    }
    Ok(topic.configs.iter().filter_map(|(name, value)| Some((name.clone(), value.clone()?))).collect())
}

/// How many partitions the request adds to the topic.
fn added_partitions(topic: &Topic, request: &NewPartitions) -> Result<usize, ClientError> {
    let have = topic.partition_count();
    if request.count == have {
        return Err(error(ErrorCode::InvalidPartitions, format!("Topic already has {have} partition(s).")));
    }
    if request.count < have {
        let message = format!(
            "The topic {} currently has {have} partition(s); {} would not be an increase.",
            request.topic, request.count
        );
        return Err(error(ErrorCode::InvalidPartitions, message));
    }
    let additional = (request.count - have) as usize;
    match &request.assignments {
        Some(assignments) if assignments.len() != additional => Err(invalid_assignment(format!(
            "Attempted to add {additional} additional partition(s), but only {} assignment(s) were specified.",
            assignments.len()
        ))),
        _ => Ok(additional),
    }
}

/// Decides a CreatePartitions request. Each topic is answered once.
pub fn create_partitions(
    context: &Context<'_>,
    topics: &[NewPartitions],
    validate_only: bool,
) -> Decision<CreatePartitionsResult> {
    let mut times: BTreeMap<&str, usize> = BTreeMap::new();
    topics.iter().for_each(|request| *times.entry(&request.topic).or_default() += 1);
    let mut creation = Creation::new(context);
    let mut results = Vec::new();
    for request in topics {
        let outcome = match times.remove(request.topic.as_str()) {
            Some(1) => creation.create_partitions(request),
            Some(_) => Err(error(ErrorCode::InvalidRequest, "Duplicate topic name.")),
            None => continue,
        };
        results.push(CreatePartitionsResult { topic: request.topic.clone(), outcome });
    }
    Decision { records: if validate_only { Vec::new() } else { creation.records }, results }
}

/// Decides a DeleteTopics request. Each topic is answered once.
pub fn delete_topics(context: &Context<'_>, topics: &[TopicToDelete]) -> Decision<DeleteTopicResult> {
    let enabled = context.layers().boolean("delete.topic.enable");
    let mut names: BTreeMap<&str, usize> = BTreeMap::new();
    let mut ids: BTreeMap<TopicId, usize> = BTreeMap::new();
    for topic in topics {
        match &topic.name {
            Some(name) if topic.id.is_nil() => *names.entry(name).or_default() += 1,
            None if !topic.id.is_nil() => *ids.entry(topic.id).or_default() += 1,
            _ => {}
        }
    }
    let by_both = |id: TopicId| {
        let name = context.image.topic_by_id(id).map(|topic| topic.name.to_string());
        name.is_some_and(|name| names.contains_key(name.as_str()))
    };
    let twice: BTreeSet<TopicId> = ids.keys().copied().filter(|id| by_both(*id)).collect();
    let mut deletion = Deletion { context, records: Vec::new(), twice };
    let mut results = Vec::new();
    for topic in topics {
        let result = match &topic.name {
            _ if !enabled => refuse(topic, ErrorCode::TopicDeletionDisabled, "Topic deletion is disabled."),
            Some(name) if topic.id.is_nil() => match names.remove(name.as_str()) {
                Some(1) => deletion.by_name(topic, name),
                Some(_) => refuse(topic, ErrorCode::InvalidRequest, "Duplicate topic name."),
                None => continue,
            },
            Some(_) => refuse(topic, ErrorCode::InvalidRequest, "You may not specify both topic name and topic id."),
            None if topic.id.is_nil() => {
                refuse(topic, ErrorCode::InvalidRequest, "Neither topic name nor id were specified.")
            }
            None => match ids.remove(&topic.id) {
                Some(1) => deletion.by_id(topic),
                Some(_) => refuse(topic, ErrorCode::InvalidRequest, "Duplicate topic id."),
                None => continue,
            },
        };
        results.push(result);
    }
    Decision { records: deletion.records, results }
}

fn refuse(topic: &TopicToDelete, code: ErrorCode, message: &str) -> DeleteTopicResult {
    DeleteTopicResult { name: topic.name.clone(), id: topic.id, outcome: Err(error(code, message)) }
}

struct Deletion<'a> {
    context: &'a Context<'a>,
    records: Vec<MetadataRecord>,
    /// Named by id and by name.
    twice: BTreeSet<TopicId>,
}

impl Deletion<'_> {
    fn by_name(&mut self, request: &TopicToDelete, name: &str) -> DeleteTopicResult {
        match self.context.image.topic(name) {
            Some(topic) => self.delete(topic),
            None => DeleteTopicResult {
                name: request.name.clone(),
                id: request.id,
                outcome: Err(unknown_topic_or_partition()),
            },
        }
    }

    fn by_id(&mut self, request: &TopicToDelete) -> DeleteTopicResult {
        match self.context.image.topic_by_id(request.id) {
            Some(topic) => self.delete(topic),
            None => refuse(request, ErrorCode::UnknownTopicId, "This server does not host this topic ID."),
        }
    }

    fn delete(&mut self, topic: &Topic) -> DeleteTopicResult {
        let outcome = if self.twice.contains(&topic.id) {
            let message = "The provided topic name maps to an ID that was already supplied.";
            Err(error(ErrorCode::InvalidRequest, message))
        } else {
            self.records.push(MetadataRecord::RemoveTopic { id: topic.id });
            Ok(())
        };
        DeleteTopicResult { name: Some(topic.name.to_string()), id: topic.id, outcome }
    }
}
