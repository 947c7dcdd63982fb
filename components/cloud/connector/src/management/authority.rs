//! The certificates of the authority.

use axum::Json;
use axum::extract::State;

use super::types::AuthorityDetail;
use crate::app::App;
use crate::ca::pem;

pub(super) async fn show(State(app): State<App>) -> Json<AuthorityDetail> {
    Json(AuthorityDetail {
        root: app.authority.root_pem(),
        issuing: pem("CERTIFICATE", app.authority.issuing()),
        issuing_not_after: app.authority.issuing_ends(),
    })
}
