//! One HTTP/2 connection to one peer, made when needed and again when it is broken.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use proto::everstep::peer::v1::raft_client::RaftClient;
use tonic::metadata::MetadataValue;
use tonic::transport::{Channel, Endpoint};
use tonic::Request;

use super::{Identity, CLUSTER, FROM, MESSAGE_BYTES_MAX, TO};
use crate::raft::PeerDirectory;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// A peer that answers no ping for this long is gone, or stands still: what waits for it ends, at the latest after twice as long.
const KEEPALIVE: Duration = Duration::from_secs(5);
const STREAM_WINDOW_BYTES: u32 = 4 << 20;
const CONNECTION_WINDOW_BYTES: u32 = 16 << 20;

pub struct Lane {
    identity: Identity,
    target: u64,
    directory: Arc<dyn PeerDirectory>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Counts connections, so that only the one that was used is given up.
    epoch: u64,
    open: Option<(String, Channel)>,
}

/// A client on one connection of a lane.
pub struct Connected {
    pub client: RaftClient<Channel>,
    pub epoch: u64,
}

impl Lane {
    pub fn new(identity: Identity, target: u64, directory: Arc<dyn PeerDirectory>) -> Self {
        Self { identity, target, directory, state: Mutex::default() }
    }

    pub fn target(&self) -> u64 {
        self.target
    }

    pub fn is_cut(&self) -> bool {
        self.directory.is_cut(self.target)
    }

    /// Connects in the background if need be: a call on the client waits for that.
    pub fn connect(&self) -> Result<Connected, String> {
        let address =
            self.directory.address(self.target).ok_or_else(|| format!("node {} has no address", self.target))?;
        let mut state = self.state.lock().expect("nothing panics while holding a lane");
        let channel = match &state.open {
            Some((known, channel)) if *known == address => channel.clone(),
            Some(_) | None => {
                let channel = self.directory.connect(endpoint(&address)?);
                state.epoch += 1;
                state.open = Some((address, channel.clone()));
                channel
            }
        };
        let client = RaftClient::new(channel)
            .max_decoding_message_size(MESSAGE_BYTES_MAX)
            .max_encoding_message_size(MESSAGE_BYTES_MAX);
        Ok(Connected { client, epoch: state.epoch })
    }

    /// Gives a connection up; the next call gets a new one.
    pub fn broken(&self, epoch: u64) {
        let mut state = self.state.lock().expect("nothing panics while holding a lane");
        if state.epoch == epoch {
            state.open = None;
        }
    }

    /// Says who calls whom in which cluster.
    pub fn request<T>(&self, message: T) -> Result<Request<T>, String> {
        let cluster = self.identity.cluster.borrow().clone();
        if cluster.is_empty() {
            return Err("this node is in no cluster yet".to_owned());
        }
        let cluster = MetadataValue::try_from(cluster).map_err(|error| error.to_string())?;
        let mut request = Request::new(message);
        let metadata = request.metadata_mut();
        metadata.insert(CLUSTER, cluster);
        metadata.insert(FROM, MetadataValue::from(self.identity.node));
        metadata.insert(TO, MetadataValue::from(self.target));
        Ok(request)
    }
}

fn endpoint(address: &str) -> Result<Endpoint, String> {
    let url = if address.contains("://") { address.to_owned() } else { format!("http://{address}") };
    let endpoint = Endpoint::from_shared(url).map_err(|error| format!("address {address}: {error}"))?;
    Ok(endpoint
        .connect_timeout(CONNECT_TIMEOUT)
        .tcp_nodelay(true)
        .http2_keep_alive_interval(KEEPALIVE)
        .keep_alive_timeout(KEEPALIVE)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES))
}
