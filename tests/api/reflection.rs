//! Server reflection, in both versions that tools ask for.

use futures::stream;
use prost::Message;
use prost_types::FileDescriptorProto;

use crate::support::node;

const SERVICE: &str = "temporal.api.workflowservice.v1.WorkflowService";

/// The services that are listed, and the file that one of them comes with.
macro_rules! asked {
    ($version:ident, $channel:expr) => {{
        use tonic_reflection::pb::$version::server_reflection_client::ServerReflectionClient;
        use tonic_reflection::pb::$version::server_reflection_request::MessageRequest;
        use tonic_reflection::pb::$version::server_reflection_response::MessageResponse;
        use tonic_reflection::pb::$version::ServerReflectionRequest;
        let ask =
            |message_request| ServerReflectionRequest { message_request: Some(message_request), ..Default::default() };
        let asked = [
            ask(MessageRequest::ListServices(String::new())),
            ask(MessageRequest::FileContainingSymbol(SERVICE.to_owned())),
        ];
        let mut client = ServerReflectionClient::new($channel).max_decoding_message_size(16 << 20);
        let mut answers = client.server_reflection_info(stream::iter(asked)).await.expect("a stream").into_inner();
        let mut told = Vec::new();
        while let Some(answer) = answers.message().await.expect("an answer") {
            match answer.message_response.expect("a message") {
                MessageResponse::ListServicesResponse(list) => told.extend(list.service.into_iter().map(|s| s.name)),
                MessageResponse::FileDescriptorResponse(files) => {
                    let file = FileDescriptorProto::decode(files.file_descriptor_proto[0].as_slice()).expect("a file");
                    told.extend(file.service[0].method.iter().map(|method| method.name().to_owned()));
                }
                other => panic!("{other:?}"),
            }
        }
        told
    }};
}

#[tokio::test(flavor = "multi_thread")]
async fn tools_find_the_services_and_their_methods() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let (node, channel) = node(directory.path(), |_| {}).await;
    for told in [asked!(v1, channel.clone()), asked!(v1alpha, channel.clone())] {
        for name in [SERVICE, "temporal.api.operatorservice.v1.OperatorService", "StartWorkflowExecution"] {
            assert!(told.iter().any(|known| known == name), "{name} is not told");
        }
    }
    drop(channel);
    node.shutdown().await;
}
