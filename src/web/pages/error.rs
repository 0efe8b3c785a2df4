//! An error as a page.

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use tonic::{Code, Status};

use super::{frame, Html, Refresh};

/// An API error; what pages return instead of themselves.
pub(in crate::web) struct ErrorPage {
    status: StatusCode,
    page: Html,
}

impl IntoResponse for ErrorPage {
    fn into_response(self) -> Response {
        (self.status, self.page).into_response()
    }
}

impl From<Status> for ErrorPage {
    fn from(status: Status) -> Self {
        page(&status)
    }
}

pub(in crate::web) fn page(status: &Status) -> ErrorPage {
    build(http_status(status.code()), &format!("{:?}", status.code()), status.message())
}

pub(in crate::web) fn not_found(message: &str) -> ErrorPage {
    build(StatusCode::NOT_FOUND, "NotFound", message)
}

fn build(status: StatusCode, title: &str, message: &str) -> ErrorPage {
    let mut body = Html::default();
    body.raw("<h1>").text(title).raw("</h1><p class=\"note\">").text(message).raw("</p>");
    ErrorPage { status, page: frame(title, &[], Refresh::Never, body) }
}

/// As grpc-gateway maps them.
fn http_status(code: Code) -> StatusCode {
    match code {
        Code::Ok => StatusCode::OK,
        Code::InvalidArgument | Code::FailedPrecondition | Code::OutOfRange => StatusCode::BAD_REQUEST,
        Code::Unauthenticated => StatusCode::UNAUTHORIZED,
        Code::PermissionDenied => StatusCode::FORBIDDEN,
        Code::NotFound => StatusCode::NOT_FOUND,
        Code::AlreadyExists | Code::Aborted => StatusCode::CONFLICT,
        Code::ResourceExhausted => StatusCode::TOO_MANY_REQUESTS,
        Code::Unimplemented => StatusCode::NOT_IMPLEMENTED,
        Code::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        Code::DeadlineExceeded => StatusCode::GATEWAY_TIMEOUT,
        Code::Cancelled | Code::Unknown | Code::Internal | Code::DataLoss => StatusCode::INTERNAL_SERVER_ERROR,
    }
}
