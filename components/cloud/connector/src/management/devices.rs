//! Devices: registration and what operators do with them.

use axum::Json;
use axum::extract::{Path, State};
use http::StatusCode;
use serde::Deserialize;
use uuid::Uuid;

use holdfast_attestation::edge_id::EdgeId;
use holdfast_attestation::hash::sha256;
use holdfast_attestation::pairing::PairingCode;
use time::{Duration, OffsetDateTime};

use super::Caller;
use super::types::{
    DeviceDetail, Items, MoveGroup, RebindDevice, RegisterDevice, RegisteredDevice,
};
use crate::app::App;
use crate::audit::{Act, Operation};
use crate::registry::{
    Binding, Device, DeviceRef, DeviceState, Digest, GroupName, NewDevice, RegistrationSecret,
    Tenant,
};
use crate::reply::{Body, ErrorReply, Parameters, RequestId};
use crate::store::{ChangeOrder, DeviceChange, DeviceFilter, EventFilter, StoreError};

const PAGE: u32 = 1000;
const EVENTS_SHOWN: u32 = 20;
const ENROLMENTS_SHOWN: usize = 10;
const NOTE_LIMIT: usize = 500;
/// How long a pairing code or an enrolment secret is good, where the operator does not say.
const SECRET_LIFE: Duration = Duration::days(7);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ListParameters {
    tenant: Option<Tenant>,
    state: Option<DeviceState>,
    group: Option<GroupName>,
    after: Option<Uuid>,
    limit: Option<u32>,
}

pub(super) async fn list(
    State(app): State<App>,
    id: RequestId,
    Parameters(wanted): Parameters<ListParameters>,
) -> Result<Json<Items<Device>>, ErrorReply> {
    let filter = DeviceFilter {
        tenant: wanted.tenant,
        state: wanted.state,
        group: wanted.group,
        after: wanted.after,
        limit: wanted.limit.unwrap_or(PAGE).min(PAGE),
    };
    let items = app.store.devices(filter).await.map_err(|e| ErrorReply::of_store(&e, &id))?;
    Ok(Json(Items { items }))
}

pub(super) async fn register(
    State(app): State<App>,
    id: RequestId,
    caller: Caller,
    Body(wanted): Body<RegisterDevice>,
) -> Result<(StatusCode, Json<RegisteredDevice>), ErrorReply> {
    let tenant = match &wanted.tenant {
        Some(tenant) => tenant.clone(),
        None => only_tenant(&app, &id).await?,
    };
    let now = app.now();
    let argument =
        wanted.ek_sha256.map_or(wanted.binding.as_str().as_bytes().to_vec(), |ek| ek.0.to_vec());
    let registration = Registration::new(wanted, tenant, now, &caller.name)
        .map_err(|detail| ErrorReply::malformed(detail, &id))?;
    let edge_id = registration.device.edge_id.as_str();
    let operation = Operation::new(now, caller.actor(), Act::Register, edge_id)
        .with_tenant(&registration.device.tenant)
        .with_arguments(&[edge_id.as_bytes(), &argument]);
    let Registration { device, pairing_code, enrolment_secret } = registration;
    let registered = app.store.register(device, operation.done()).await;
    let device = app.outcome(&operation, registered, &id).await?;
    let registered = RegisteredDevice { device, pairing_code, enrolment_secret };
    Ok((StatusCode::CREATED, Json(registered)))
}

/// A device to be registered, and what its operator carries to it.
pub(super) struct Registration {
    pub(super) device: NewDevice,
    pub(super) pairing_code: Option<String>,
    pub(super) enrolment_secret: Option<String>,
}

impl Registration {
    /// Checks what is wanted; the error begins with the field.
    pub(super) fn new(
        wanted: RegisterDevice,
        tenant: Tenant,
        now: OffsetDateTime,
        by: &str,
    ) -> Result<Self, String> {
        let edge_id = EdgeId::parse(&wanted.edge_id).map_err(|e| format!("edge_id: {e}"))?;
        if wanted.note.as_ref().is_some_and(|note| note.len() > NOTE_LIMIT) {
            return Err(format!("note: over the limit of {NOTE_LIMIT} bytes"));
        }
        let means = Means::of(&wanted, now)?;
        let device = NewDevice {
            id: Uuid::new_v4(),
            tenant,
            edge_id,
            binding: wanted.binding,
            ek_sha256: wanted.ek_sha256,
            secret: means.secret,
            not_after: means.not_after,
            approval: wanted.approval.unwrap_or_else(|| wanted.binding.default_approval()),
            quote_mode: wanted.quote_mode,
            group: wanted.group,
            note: wanted.note,
            at: now,
            by: by.to_owned(),
        };
        let Means { pairing_code, enrolment_secret, .. } = means;
        Ok(Self { device, pairing_code, enrolment_secret })
    }
}

/// By what a new registration will know its device.
#[derive(Default)]
struct Means {
    secret: Option<RegistrationSecret>,
    not_after: Option<OffsetDateTime>,
    pairing_code: Option<String>,
    enrolment_secret: Option<String>,
}

impl Means {
    fn of(wanted: &RegisterDevice, now: OffsetDateTime) -> Result<Self, String> {
        let mut means = Self { not_after: wanted.not_after, ..Self::default() };
        if wanted.not_after.is_some_and(|end| end <= now) {
            return Err("not_after: it is in the past".to_owned());
        }
        match (wanted.binding, wanted.ek_sha256) {
            (Binding::EkSha256, None) => {
                return Err("ek_sha256: it is missing; name it or choose another binding".into());
            }
            (Binding::EkCa | Binding::PairingCode | Binding::PlainEst, Some(_)) => {
                let binding = wanted.binding.as_str();
                return Err(format!("ek_sha256: a registration by {binding} names no TPM"));
            }
            (Binding::EkSha256 | Binding::EkCa, _) => return Ok(means),
            (Binding::PairingCode, None) => {
                let code = PairingCode::new(random_bits()?);
                means.pairing_code = Some(code.to_string());
                means.secret = Some(RegistrationSecret::PairingCode(*code.as_bytes()));
            }
            (Binding::PlainEst, None) => {
                let secret = hex::encode(random_bits()?);
                let sha256 = Digest(sha256(&[secret.as_bytes()]));
                means.secret = Some(RegistrationSecret::EnrolmentSecret(sha256));
                means.enrolment_secret = Some(secret);
            }
        }
        means.not_after = Some(wanted.not_after.unwrap_or(now + SECRET_LIFE));
        Ok(means)
    }
}

/// 128 random bits; a UUID has fewer.
fn random_bits() -> Result<[u8; 16], String> {
    let mut bits = [0; 16];
    aws_lc_rs::rand::fill(&mut bits).map_err(|_| "the system gives no random bytes".to_owned())?;
    Ok(bits)
}

pub(super) async fn only_tenant(app: &App, id: &RequestId) -> Result<Tenant, ErrorReply> {
    let sites = app.store.sites(None).await.map_err(|e| ErrorReply::of_store(&e, id))?;
    let mut tenants: Vec<Tenant> = sites.into_iter().map(|site| site.tenant).collect();
    tenants.sort();
    tenants.dedup();
    match tenants.pop() {
        Some(only) if tenants.is_empty() => Ok(only),
        None => Err(ErrorReply::malformed(
            "tenant: there is no site yet from which it could be taken; name the tenant, or make \
             a site first (holdfast-cloud site new)"
                .to_owned(),
            id,
        )),
        Some(_) => {
            Err(ErrorReply::malformed("tenant: there are several; say which".to_owned(), id))
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct DeviceParameters {
    pub(super) tenant: Option<Tenant>,
}

/// Finds a device by id or Edge ID.
pub(super) async fn find(
    app: &App,
    name: &str,
    tenant: Option<Tenant>,
    id: &RequestId,
) -> Result<Device, ErrorReply> {
    let store = &app.store;
    if let Ok(device_id) = name.parse::<Uuid>() {
        match store.device(DeviceRef::Id(device_id)).await {
            // An Edge ID may look like a UUID.
            Err(StoreError::NotFound(_)) => {}
            found => return found.map_err(|e| ErrorReply::of_store(&e, id)),
        }
    }
    let edge_id = EdgeId::parse(name).map_err(|e| {
        let detail = format!("there is no such device: neither device id nor Edge ID: {e}");
        ErrorReply::new(StatusCode::NOT_FOUND, "not-found", detail, id)
    })?;
    store
        .device(DeviceRef::EdgeId { tenant, edge_id })
        .await
        .map_err(|e| ErrorReply::of_store(&e, id))
}

pub(super) async fn show(
    State(app): State<App>,
    id: RequestId,
    Path(name): Path<String>,
    Parameters(wanted): Parameters<DeviceParameters>,
) -> Result<Json<DeviceDetail>, ErrorReply> {
    let device = find(&app, &name, wanted.tenant, &id).await?;
    let events =
        EventFilter { device_id: Some(device.id), limit: EVENTS_SHOWN, ..EventFilter::default() };
    let failed = |e: StoreError| ErrorReply::of_store(&e, &id);
    let boot = app.store.boot_report(device.id).await.map_err(failed)?;
    let certificates = app.store.certificates(device.id).await.map_err(failed)?;
    let mut enrolments = app.store.enrolments(device.id).await.map_err(failed)?;
    enrolments.truncate(ENROLMENTS_SHOWN);
    let events = app.store.events(events).await.map_err(failed)?;
    Ok(Json(DeviceDetail { device, boot, certificates, enrolments, events }))
}

/// Declares a handler per change that has no arguments.
macro_rules! changes {
    ($($handler:ident: $act:ident, $change:expr;)*) => {
        $(pub(super) async fn $handler(
            State(app): State<App>,
            id: RequestId,
            caller: Caller,
            Path(name): Path<String>,
            Parameters(wanted): Parameters<DeviceParameters>,
        ) -> Result<Json<Device>, ErrorReply> {
            let device = find(&app, &name, wanted.tenant, &id).await?;
            change(&app, &id, &caller, &device, Act::$act, $change).await
        })*
    };
}

changes! {
    approve: Approve, DeviceChange::Approve;
    suspend: Suspend, DeviceChange::Suspend;
    resume: Resume, DeviceChange::Resume;
    revoke: Revoke, DeviceChange::Revoke;
    retire: Retire, DeviceChange::Retire;
    forget_firmware: ForgetFirmware, DeviceChange::ForgetFirmware;
}

pub(super) async fn rebind(
    State(app): State<App>,
    id: RequestId,
    caller: Caller,
    Path(name): Path<String>,
    Parameters(wanted): Parameters<DeviceParameters>,
    Body(body): Body<RebindDevice>,
) -> Result<Json<Device>, ErrorReply> {
    let device = find(&app, &name, wanted.tenant, &id).await?;
    change(&app, &id, &caller, &device, Act::Rebind, DeviceChange::Rebind(body.ek_sha256)).await
}

pub(super) async fn move_group(
    State(app): State<App>,
    id: RequestId,
    caller: Caller,
    Path(name): Path<String>,
    Parameters(wanted): Parameters<DeviceParameters>,
    Body(body): Body<MoveGroup>,
) -> Result<Json<Device>, ErrorReply> {
    let device = find(&app, &name, wanted.tenant, &id).await?;
    change(&app, &id, &caller, &device, Act::MoveGroup, DeviceChange::MoveGroup(body.group)).await
}

async fn change(
    app: &App,
    id: &RequestId,
    caller: &Caller,
    device: &Device,
    act: Act,
    change: DeviceChange,
) -> Result<Json<Device>, ErrorReply> {
    let now = app.now();
    let mut operation = Operation::new(now, caller.actor(), act, &device.edge_id)
        .with_device(device.id, &device.tenant);
    match &change {
        DeviceChange::Rebind(ek_sha256) => operation = operation.with_arguments(&[&ek_sha256.0]),
        DeviceChange::MoveGroup(group) => {
            let name = group.as_ref().map_or("", GroupName::as_str);
            operation = operation.with_arguments(&[name.as_bytes()]);
        }
        _ => {}
    }
    let order = ChangeOrder { device_id: device.id, change, at: now, by: caller.name.clone() };
    let changed = app.store.change(order, operation.done()).await;
    Ok(Json(app.outcome(&operation, changed, id).await?))
}
