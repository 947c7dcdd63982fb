//! The certificates of the authority.

use axum::Json;
use axum::extract::State;

use super::types::AuthorityDetail;
use crate::app::App;

pub(super) async fn show(State(app): State<App>) -> Json<AuthorityDetail> {
    Json(AuthorityDetail::from(app.authority().roster()))
}
