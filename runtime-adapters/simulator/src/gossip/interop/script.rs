//! The instructions of a script.

use core::time::Duration;
use serde::Deserialize;

/// One instruction.
#[derive(Clone, Debug, Deserialize)]
#[serde(tag = "type", rename_all = "camelCase")]
pub(super) enum Instruction {
    Connect {
        #[serde(rename = "connectTo")]
        connect_to: Vec<usize>,
    },
    #[serde(rename = "ifNodeIDEquals")]
    IfNodeIdEquals {
        #[serde(rename = "nodeID")]
        node_id: usize,
        instruction: Box<Self>,
    },
    WaitUntil {
        #[serde(rename = "elapsedSeconds")]
        elapsed_seconds: u64,
    },
    AddPartialMessage {
        parts: u8,
        #[serde(rename = "topicID")]
        topic_id: String,
        #[serde(rename = "groupID")]
        group_id: u64,
    },
    PublishPartial {
        #[serde(rename = "topicID")]
        topic_id: String,
        #[serde(rename = "groupID")]
        group_id: u64,
        #[serde(rename = "publishToNodeIDs", default)]
        publish_to: Option<Vec<usize>>,
    },
    Publish {
        #[serde(rename = "messageID")]
        message_id: u64,
        #[serde(rename = "messageSizeBytes")]
        size: usize,
        #[serde(rename = "topicID")]
        topic_id: String,
    },
    SubscribeToTopic {
        #[serde(rename = "topicID")]
        topic_id: String,
        #[serde(default)]
        partial: bool,
    },
    SetTopicValidationDelay {
        #[serde(rename = "topicID")]
        topic_id: String,
        #[serde(rename = "delaySeconds")]
        seconds: f64,
    },
    InitGossipSub {
        #[serde(rename = "gossipSubParams")]
        params: Box<Params>,
    },
}

/// go's parameters; times are in nanoseconds. What concerns dialing and warnings of go alone is read and not used.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub(super) struct Params {
    pub(super) d: Option<usize>,
    pub(super) dlo: Option<usize>,
    pub(super) dhi: Option<usize>,
    pub(super) dscore: Option<usize>,
    pub(super) dout: Option<usize>,
    pub(super) history_length: Option<usize>,
    pub(super) history_gossip: Option<usize>,
    pub(super) dlazy: Option<usize>,
    pub(super) gossip_factor: Option<f64>,
    pub(super) gossip_retransmission: Option<u8>,
    pub(super) heartbeat_initial_delay: Option<f64>,
    pub(super) heartbeat_interval: Option<f64>,
    #[serde(rename = "FanoutTTL")]
    pub(super) fanout_ttl: Option<f64>,
    pub(super) prune_peers: Option<usize>,
    pub(super) prune_backoff: Option<f64>,
    pub(super) unsubscribe_backoff: Option<f64>,
    pub(super) direct_connect_ticks: Option<u64>,
    pub(super) opportunistic_graft_ticks: Option<u64>,
    pub(super) opportunistic_graft_peers: Option<usize>,
    pub(super) graft_flood_threshold: Option<f64>,
    #[serde(rename = "MaxIHaveLength")]
    pub(super) max_ihave_length: Option<usize>,
    #[serde(rename = "MaxIHaveMessages")]
    pub(super) max_ihave_messages: Option<u32>,
    #[serde(rename = "MaxIDontWantLength")]
    pub(super) max_idontwant_length: Option<usize>,
    #[serde(rename = "MaxIDontWantMessages")]
    pub(super) max_idontwant_messages: Option<usize>,
    #[serde(rename = "IWantFollowupTime")]
    pub(super) iwant_followup_time: Option<f64>,
    #[serde(rename = "IDontWantMessageThreshold")]
    pub(super) idontwant_message_threshold: Option<usize>,
    #[serde(rename = "IDontWantMessageTTL")]
    pub(super) idontwant_message_ttl: Option<u32>,
}

#[derive(Deserialize)]
struct File {
    script: Vec<Instruction>,
}

pub(super) fn parse(text: &str) -> Result<Vec<Instruction>, serde_json::Error> {
    serde_json::from_str::<File>(text).map(|file| file.script)
}

/// What one node does, in order.
pub(super) fn of_node(script: &[Instruction], node: usize) -> Vec<Instruction> {
    let own = |instruction: &Instruction| {
        let mut instruction = instruction;
        while let Instruction::IfNodeIdEquals {
            node_id,
            instruction: inner,
        } = instruction
        {
            if *node_id != node {
                return None;
            }
            instruction = inner;
        }
        Some(instruction.clone())
    };
    script.iter().filter_map(own).collect()
}

/// When the last instruction runs.
pub(super) fn ends(script: &[Instruction]) -> Duration {
    let waits = script.iter().map(|instruction| match instruction {
        Instruction::WaitUntil { elapsed_seconds } => *elapsed_seconds,
        _ => 0,
    });
    Duration::from_secs(waits.max().unwrap_or(0))
}

/// Nanoseconds, as the parameters have them.
pub(super) fn nanos(value: f64) -> Duration {
    Duration::try_from_secs_f64(value / 1e9).unwrap_or_default()
}
