//! PLACEHOLDER by the lead so that the crate compiles until the owner replaces this file.
use crate::*; use crate::workflow::{Run,run::Extras,commands::Refused}; use crate::reject::Decided; use crate::op::answer;
pub struct EagerTarget{pub identity:String,pub request_id:String}
pub fn close_all(_:&mut Context<'_,'_>,_:&mut Run)->Decided<()> {todo!()}
pub mod schedule{use super::*; use proto::temporal::api::command::v1::*; pub fn decide(_:&mut Context<'_,'_>,_:&mut Run,_:Option<&ScheduleActivityTaskCommandAttributes>,_:Extras,_:i64,_:Option<&EagerTarget>)->Result<Option<op::ActivityTaskStarted>,Refused>{todo!()}}
pub mod cancel{use super::*; use proto::temporal::api::command::v1::*; pub fn decide(_:&mut Context<'_,'_>,_:&mut Run,_:Option<&RequestCancelActivityTaskCommandAttributes>,_:i64,_:&str)->Result<bool,Refused>{todo!()}}
pub mod start{use super::*; pub fn decide(_:&mut Context<'_,'_>,_:&op::StartTask)->Decided<answer::Kind>{todo!()}}
pub mod heartbeat{use super::*; pub fn decide(_:&mut Context<'_,'_>,_:&op::HeartbeatActivity)->Decided<answer::Kind>{todo!()}}
pub mod finish{use super::*; pub fn complete(_:&mut Context<'_,'_>,_:&op::CompleteActivity)->Decided<answer::Kind>{todo!()} pub fn fail(_:&mut Context<'_,'_>,_:&op::FailActivity)->Decided<answer::Kind>{todo!()} pub fn cancel(_:&mut Context<'_,'_>,_:&op::CancelActivity)->Decided<answer::Kind>{todo!()}}
pub mod control{use super::*; pub fn pause(_:&mut Context<'_,'_>,_:&op::PauseActivity)->Decided<answer::Kind>{todo!()} pub fn unpause(_:&mut Context<'_,'_>,_:&op::UnpauseActivity)->Decided<answer::Kind>{todo!()} pub fn reset(_:&mut Context<'_,'_>,_:&op::ResetActivity)->Decided<answer::Kind>{todo!()} pub fn update_options(_:&mut Context<'_,'_>,_:&op::UpdateActivityOptions)->Decided<answer::Kind>{todo!()}}
pub mod deadlines{use super::*; use crate::tables::DeadlineKey; pub fn fire_timeout(_:&mut Context<'_,'_>,_:&DeadlineKey)->Decided<()> {todo!()} pub fn fire_retry(_:&mut Context<'_,'_>,_:&DeadlineKey)->Decided<()> {todo!()}}
pub mod evolve{use super::*; use proto::temporal::api::history::v1::HistoryEvent; pub fn apply(_:&mut Txn<'_>,_:&mut Run,_:&HistoryEvent)->Result<(),Fault>{todo!()}}
pub mod retry{use proto::temporal::api::common::v1::RetryPolicy; use proto::temporal::api::enums::v1::RetryState; use proto::temporal::api::failure::v1::Failure; pub fn validate(_:&RetryPolicy)->Result<(),String>{todo!()} pub fn fill_in(_:&mut RetryPolicy){todo!()} pub fn next_wait(_:&RetryPolicy,_:i32,_:&Failure,_:i64,_:Option<i64>)->Result<i64,RetryState>{todo!()}}
