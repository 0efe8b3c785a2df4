//! Commands that later issues bring: a well-formed one fails the task and says why.

use proto::temporal::api::enums::v1::WorkflowTaskFailedCause as Cause;

use super::Refused;

pub fn not_built(command: &str) -> Refused {
    Refused::task(Cause::FeatureDisabled, format!("{command} is not implemented by this server"))
}
