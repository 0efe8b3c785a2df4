//! The other end of a peer's stream of proposals (`proposals`): each is committed on its own and answered as soon as it is.

use std::future::{ready, Future};
use std::pin::pin;
use std::sync::Arc;

use futures::{stream, Stream, StreamExt};
use proto::everstep::peer::v1 as peer;
use tokio::sync::{mpsc, oneshot, Semaphore};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming};

use super::proposals::{BATCH_MAX, IN_FLIGHT_MAX};

/// Answers a peer's proposals. `commit` gives `None` for one that this node does not take: that ends the stream, as an
/// unreadable message does, and at once, because what is sent after it is read by nobody.
pub(super) fn serve<C, F>(
    frames: Streaming<peer::ProposalFrame>,
    commit: C,
) -> impl Stream<Item = Result<peer::OutcomeFrame, Status>> + Send
where
    C: Fn(peer::ProposeRequest) -> Option<F> + Send + 'static,
    F: Future<Output = peer::ProposeResponse> + Send + 'static,
{
    let (replies, queue) = mpsc::channel(IN_FLIGHT_MAX);
    let (broken, why) = oneshot::channel();
    tokio::spawn(async move {
        if let Err(status) = take(frames, commit, replies).await {
            // Where the connection is lost as a whole, nobody is left to tell.
            broken.send(status).ok();
        }
    });
    let answers = ReceiverStream::new(queue).ready_chunks(BATCH_MAX);
    let answers = answers.map(|outcomes| Ok(peer::OutcomeFrame { outcomes }));
    // An error is the last item of a response, whatever is still being committed.
    let end = stream::once(why).filter_map(|why| ready(why.ok().map(Err)));
    stream::select(answers, end)
}

/// Runs until the peer has no more proposals or wants no more answers; `Err` if it has to be told that nothing is taken any
/// more.
async fn take<C, F>(
    mut frames: Streaming<peer::ProposalFrame>,
    commit: C,
    replies: mpsc::Sender<peer::NumberedOutcome>,
) -> Result<(), Status>
where
    C: Fn(peer::ProposeRequest) -> Option<F>,
    F: Future<Output = peer::ProposeResponse> + Send + 'static,
{
    let room = Arc::new(Semaphore::new(IN_FLIGHT_MAX));
    let mut unwanted = pin!(replies.closed());
    loop {
        let frame = tokio::select! {
            frame = frames.message() => frame?,
            () = &mut unwanted => return Ok(()),
        };
        let Some(frame) = frame else { return Ok(()) };
        for peer::NumberedProposal { id, request } in frame.proposals {
            let Ok(permit) = room.clone().acquire_owned().await else { return Ok(()) };
            let Some(committed) = commit(request.unwrap_or_default()) else {
                return Err(Status::unavailable("no proposals are taken"));
            };
            let replies = replies.clone();
            // Each on its own: one shard that waits for its quorum must not hold up the others.
            tokio::spawn(async move {
                let response = Some(committed.await);
                replies.send(peer::NumberedOutcome { id, response }).await.ok();
                drop(permit);
            });
        }
    }
}
