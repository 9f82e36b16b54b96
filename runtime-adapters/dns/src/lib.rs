#![doc = include_str!("../README.md")]

use hickory_resolver::{
    TokioResolver,
    config::{ConnectionConfig, LookupIpStrategy, NameServerConfig, ResolverConfig},
    net::{NetError, runtime::TokioRuntimeProvider},
    proto::rr::{RData, RecordType},
};
use libp2p_proto_swarm::{Record, ResolveKind};
use std::{io, net::SocketAddr, sync::Arc, thread, time::Duration};
use tokio::sync::{Semaphore, mpsc};

/// Whom to ask, and how patiently.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The servers, asked over UDP and, for long answers, TCP. Default: none, which means those of the system, and its hosts file.
    pub servers: Vec<SocketAddr>,
    /// How long one server may take for one answer. Default 5 s, as resolvers of operating systems do.
    pub timeout: Duration,
    /// How often a question is asked again. Default 2.
    pub attempts: usize,
    /// Questions that are asked at the same time, at least 1; others wait their turn. Default 64.
    pub max_concurrent: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            servers: Vec::new(),
            timeout: Duration::from_secs(5),
            attempts: 2,
            max_concurrent: 64,
        }
    }
}

/// Why there is no resolver.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The system's configuration names no server, or can't be read.
    #[error("no configuration of name servers: {0}")]
    Configuration(Arc<NetError>),
    /// The operating system gave no thread, or the thread no runtime.
    #[error("no thread to resolve names in: {0}")]
    Thread(Arc<io::Error>),
}

type Answer = Box<dyn FnOnce(Result<Vec<Record>, &'static str>) + Send>;
type Question = (String, ResolveKind, Answer);

/// Resolves names in a thread of its own, which ends with the last clone. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Resolver {
    questions: mpsc::UnboundedSender<Question>,
}

impl Resolver {
    /// A resolver as the system is configured: its name servers and its hosts file.
    ///
    /// # Errors
    ///
    /// See [`Error`].
    pub fn system() -> Result<Self, Error> {
        Self::new(Config::default())
    }

    /// A resolver.
    ///
    /// # Errors
    ///
    /// See [`Error`].
    pub fn new(config: Config) -> Result<Self, Error> {
        let (questions, receiver) = mpsc::unbounded_channel();
        let no_thread = |error: io::Error| Error::Thread(Arc::new(error));
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(no_thread)?;
        // Whoever calls may be inside a runtime, where nothing may block, a runtime that is dropped included.
        let built = {
            let _inside = runtime.enter();
            build(&config)
        };
        let resolver = match built {
            Ok(resolver) => resolver,
            Err(error) => {
                runtime.shutdown_background();
                return Err(Error::Configuration(Arc::new(error)));
            }
        };
        let places = Arc::new(Semaphore::new(
            config.max_concurrent.clamp(1, Semaphore::MAX_PERMITS),
        ));
        thread::Builder::new()
            .name(String::from("resolver"))
            .spawn(move || runtime.block_on(answer_all(resolver, receiver, places)))
            .map_err(no_thread)?;
        Ok(Self { questions })
    }

    /// Asks for the records of a name. `answer` runs in the resolver's thread and is not to block.
    pub fn resolve(
        &self,
        name: String,
        kind: ResolveKind,
        answer: impl FnOnce(Result<Vec<Record>, &'static str>) + Send + 'static,
    ) {
        // The thread lives as long as this sender does.
        let _alive = self.questions.send((name, kind, Box::new(answer)));
    }
}

fn build(config: &Config) -> Result<TokioResolver, NetError> {
    let mut builder = if config.servers.is_empty() {
        TokioResolver::builder_tokio()?
    } else {
        let servers = config.servers.iter().map(name_server).collect();
        let servers = ResolverConfig::from_name_servers(servers);
        TokioResolver::builder_with_config(servers, TokioRuntimeProvider::default())
    };
    let options = builder.options_mut();
    options.ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
    options.timeout = config.timeout;
    options.attempts = config.attempts;
    builder.build()
}

fn name_server(addr: &SocketAddr) -> NameServerConfig {
    let on_port = |mut connection: ConnectionConfig| {
        connection.port = addr.port();
        connection
    };
    let connections = vec![on_port(ConnectionConfig::udp()), on_port(ConnectionConfig::tcp())];
    NameServerConfig::new(addr.ip(), true, connections)
}

async fn answer_all(
    resolver: TokioResolver,
    mut questions: mpsc::UnboundedReceiver<Question>,
    places: Arc<Semaphore>,
) {
    while let Some((name, kind, answer)) = questions.recv().await {
        let Ok(place) = places.clone().acquire_owned().await else {
            return;
        };
        let resolver = resolver.clone();
        tokio::spawn(async move {
            answer(lookup(&resolver, name, kind).await);
            drop(place);
        });
    }
}

/// The records of a name; a failure is one word.
async fn lookup(
    resolver: &TokioResolver,
    mut name: String,
    kind: ResolveKind,
) -> Result<Vec<Record>, &'static str> {
    // Names in addresses are whole: no search list applies.
    if !name.ends_with('.') {
        name.push('.');
    }
    if kind == ResolveKind::Txt {
        let found = resolver
            .lookup(name, RecordType::TXT)
            .await
            .map_err(|error| cause(&error))?;
        let texts = found.answers().iter().filter_map(|record| match &record.data {
            RData::TXT(text) => String::from_utf8(text.txt_data.concat()).ok(),
            _ => None,
        });
        return Ok(texts.map(Record::Txt).collect());
    }
    let found = resolver.lookup_ip(name).await.map_err(|error| cause(&error))?;
    let wanted = found.iter().filter(|ip| match kind {
        ResolveKind::Ip4 => ip.is_ipv4(),
        ResolveKind::Ip6 => ip.is_ipv6(),
        ResolveKind::Ip | ResolveKind::Txt => true,
    });
    Ok(wanted.map(Record::Ip).collect())
}

fn cause(error: &NetError) -> &'static str {
    match error {
        NetError::Timeout => "resolver-timed-out",
        error if error.is_no_records_found() => "name-not-found",
        _ => "resolver-failed",
    }
}
