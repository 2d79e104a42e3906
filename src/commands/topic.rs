//! `flumen topic`: make, list, describe and delete topics of any broker that speaks Kafka's protocol.

use clap::{Arg, ArgAction, ArgMatches, Command};
use flumen::model::error_code::ErrorCode;
use flumen::model::ids::base64_url;
use flumen::protocol::StrBytes;
use flumen::protocol::messages::create_topics_request::{CreatableTopic, CreatableTopicConfig};
use flumen::protocol::messages::delete_topics_request::DeleteTopicState;
use flumen::protocol::messages::metadata_request::MetadataRequestTopic;
use flumen::protocol::messages::metadata_response::{MetadataResponse, MetadataResponseTopic};
use flumen::protocol::messages::{CreateTopicsRequest, DeleteTopicsRequest, MetadataRequest, TopicName};

use super::client::Client;
use super::{Outcome, bootstrap, say, text};

/// How long the broker may take to carry out a change, in milliseconds.
const TIMEOUT_MS: i32 = 30_000;

/// The command's flags.
pub fn command() -> Command {
    let name = || Arg::new("name").value_name("TOPIC").required(true).help("The topic's name");
    let partitions = Arg::new("partitions")
        .long("partitions")
        .value_name("NUMBER")
        .value_parser(clap::value_parser!(i32).range(1..))
        .help("How many partitions; the broker's default without");
    let config = Arg::new("config")
        .long("config")
        .value_name("NAME=VALUE")
        .action(ArgAction::Append)
        .help("A config of the topic; may be given several times");
    Command::new("topic")
        .about("Make, list, describe and delete topics")
        .subcommand_required(true)
        .subcommand(
            Command::new("create").about("Make a topic").arg(bootstrap()).arg(name()).arg(partitions).arg(config),
        )
        .subcommand(Command::new("list").about("List the topics").arg(bootstrap()))
        .subcommand(Command::new("describe").about("Describe a topic").arg(bootstrap()).arg(name()))
        .subcommand(Command::new("delete").about("Delete a topic").arg(bootstrap()).arg(name()))
}

/// Runs the subcommand.
pub fn run(matches: &ArgMatches) -> Outcome {
    let Some((action, matches)) = matches.subcommand() else { return Err("name a subcommand".to_owned()) };
    let mut client = Client::connect(text(matches, "bootstrap"))?;
    match action {
        "create" => create(&mut client, matches),
        "list" => list(&mut client),
        "describe" => describe(&mut client, text(matches, "name")),
        "delete" => delete(&mut client, text(matches, "name")),
        other => Err(format!("there is no subcommand '{other}'")),
    }
}

fn name(text: &str) -> TopicName {
    TopicName(StrBytes::from_string(text.to_owned()))
}

fn check(code: i16, message: Option<&StrBytes>) -> Outcome {
    if code == 0 {
        return Ok(());
    }
    let known = ErrorCode::from_code(code).map_or_else(|| code.to_string(), |code| code.name().to_owned());
    Err(message.map_or_else(|| known.clone(), |message| format!("{known}: {}", &**message)))
}

fn create(client: &mut Client, matches: &ArgMatches) -> Outcome {
    let mut configs = Vec::new();
    for setting in matches.get_many::<String>("config").into_iter().flatten() {
        let (key, value) =
            setting.split_once('=').ok_or_else(|| format!("'{setting}' is not of the form NAME=VALUE"))?;
        let config = CreatableTopicConfig::default().with_name(StrBytes::from_string(key.to_owned()));
        configs.push(config.with_value(Some(StrBytes::from_string(value.to_owned()))));
    }
    let topic = CreatableTopic::default()
        .with_name(name(text(matches, "name")))
        .with_num_partitions(matches.get_one::<i32>("partitions").copied().unwrap_or(-1))
        .with_replication_factor(-1)
        .with_configs(configs);
    let request = CreateTopicsRequest::default().with_topics(vec![topic]).with_timeout_ms(TIMEOUT_MS);
    for topic in client.ask(7, &request)?.topics {
        check(topic.error_code, topic.error_message.as_ref())?;
        say(&format!("made topic {} with {} partitions", topic.name.as_str(), topic.num_partitions));
    }
    Ok(())
}

fn delete(client: &mut Client, topic: &str) -> Outcome {
    // Version 6 asks in another field; one of both is written, whichever version is spoken.
    let request = DeleteTopicsRequest::default().with_timeout_ms(TIMEOUT_MS);
    let by_state = request.clone().with_topics(vec![DeleteTopicState::default().with_name(Some(name(topic)))]);
    for topic in client.ask(6, &by_state)?.responses {
        check(topic.error_code, topic.error_message.as_ref())?;
        say(&format!("deleted topic {}", topic.name.as_ref().map_or("", |name| name.as_str())));
    }
    Ok(())
}

fn metadata(client: &mut Client, topics: Option<Vec<MetadataRequestTopic>>) -> Result<MetadataResponse, String> {
    client.ask(12, &MetadataRequest::default().with_topics(topics).with_allow_auto_topic_creation(false))
}

fn topic_name(topic: &MetadataResponseTopic) -> &str {
    topic.name.as_ref().map_or("", |name| name.as_str())
}

fn list(client: &mut Client) -> Outcome {
    for topic in metadata(client, None)?.topics {
        say(&format!("{}\t{} partitions", topic_name(&topic), topic.partitions.len()));
    }
    Ok(())
}

fn describe(client: &mut Client, topic: &str) -> Outcome {
    let wanted = vec![MetadataRequestTopic::default().with_name(Some(name(topic)))];
    for topic in metadata(client, Some(wanted))?.topics {
        check(topic.error_code, None)?;
        say(&format!("topic {}  id {}", topic_name(&topic), base64_url(topic.topic_id)));
        for partition in topic.partitions {
            say(&format!(
                "  partition {}  leader {} (epoch {})  replicas {:?}  in sync {:?}",
                partition.partition_index,
                partition.leader_id.0,
                partition.leader_epoch,
                partition.replica_nodes.iter().map(|id| id.0).collect::<Vec<_>>(),
                partition.isr_nodes.iter().map(|id| id.0).collect::<Vec<_>>(),
            ));
        }
    }
    Ok(())
}
