//! Non-volatile indices.

use std::ops::RangeInclusive;

use tss_esapi::attributes::NvIndexAttributes;
use tss_esapi::constants::{CapabilityType, NvIndexType, PropertyTag};
use tss_esapi::handles::{NvIndexHandle, NvIndexTpmHandle, TpmHandle};
use tss_esapi::interface_types::algorithm::HashingAlgorithm;
use tss_esapi::interface_types::resource_handles::{NvAuth, Provision};
use tss_esapi::structures::{CapabilityData, MaxNvBuffer, NvPublic};

use crate::{Tpm, TpmError};

/// Every TPM transfers at least this many bytes at once.
const SMALLEST_NV_BUFFER: u32 = 512;
/// The TSS transfers at most this many.
const LARGEST_NV_BUFFER: u32 = 2048;
/// The most handles asked for at once.
const HANDLES_PER_QUERY: u32 = 64;

impl Tpm {
    /// Defines an index of `size` bytes: everybody may read it, only the owner may write it.
    pub fn nv_define(&self, index: u32, size: usize) -> Result<(), TpmError> {
        self.define(index, NvIndexType::Ordinary, size)
    }

    /// Counts an index up by one and returns what it is then. It is made where it is missing, and
    /// begins above what any counter of this TPM ever was (TPM 2.0 Part 1, 37.2.4). The owner may
    /// count up; nobody may count down.
    pub fn nv_count(&self, index: u32) -> Result<u64, TpmError> {
        if self.nv_indices(index..=index)?.is_empty() {
            self.define(index, NvIndexType::Counter, size_of::<u64>())?;
        }
        self.with_nv_handle(index, |handle| {
            self.run_empty_auth("NV_Increment", &label(index), |tpm| {
                tpm.nv_increment(NvAuth::Owner, handle)
            })
        })?;
        let missing = || TpmError::check("NV_Read", &label(index), "the counter has no value");
        self.nv_read_u64(index)?.ok_or_else(missing)
    }

    fn define(&self, index: u32, kind: NvIndexType, size: usize) -> Result<(), TpmError> {
        const OPERATION: &str = "NV_DefineSpace";
        let label = label(index);
        let public = NvIndexAttributes::builder()
            .with_nv_index_type(kind)
            .with_owner_write(true)
            .with_owner_read(true)
            .with_auth_read(true)
            .with_no_da(true)
            .build()
            .and_then(|attributes| {
                NvPublic::builder()
                    .with_nv_index(NvIndexTpmHandle::new(index)?)
                    .with_index_name_algorithm(HashingAlgorithm::Sha256)
                    .with_index_attributes(attributes)
                    .with_data_area_size(size)
                    .build()
            })
            .map_err(|source| TpmError::command(OPERATION, &label, source))?;
        self.run_empty_auth(OPERATION, &label, |tpm| {
            let handle = tpm.nv_define_space(Provision::Owner, None, public)?;
            tpm.tr_close(&mut handle.into())
        })
    }

    /// Removes an index that the owner defined.
    pub fn nv_undefine(&self, index: u32) -> Result<(), TpmError> {
        let label = label(index);
        let handle = self.nv_handle(index)?;
        self.run_empty_auth("NV_UndefineSpace", &label, |tpm| {
            tpm.nv_undefine_space(Provision::Owner, handle)
        })
    }

    /// Writes `data` to the start of an index as the owner.
    pub fn nv_write(&self, index: u32, data: &[u8]) -> Result<(), TpmError> {
        const OPERATION: &str = "NV_Write";
        let label = label(index);
        let chunk_size = self.nv_buffer_size()?;
        self.with_nv_handle(index, |handle| {
            for (number, chunk) in data.chunks(chunk_size.into()).enumerate() {
                let offset = u16::try_from(number * usize::from(chunk_size))
                    .map_err(|_| TpmError::check(OPERATION, &label, "more than 64 KiB"))?;
                self.run_empty_auth(OPERATION, &label, |tpm| {
                    tpm.nv_write(NvAuth::Owner, handle, MaxNvBuffer::try_from(chunk)?, offset)
                })?;
            }
            Ok(())
        })
    }

    /// Reads a whole index; `None` if it is not defined or was never written.
    pub fn nv_read(&self, index: u32) -> Result<Option<Vec<u8>>, TpmError> {
        if self.nv_indices(index..=index)?.is_empty() {
            return Ok(None);
        }
        let label = label(index);
        let chunk_size = self.nv_buffer_size()?;
        self.with_nv_handle(index, |handle| {
            let (public, _) =
                self.run("NV_ReadPublic", &label, |tpm| tpm.nv_read_public(handle))?;
            if !public.attributes().written() {
                return Ok(None);
            }
            let mut data = Vec::with_capacity(public.data_size());
            while data.len() < public.data_size() {
                // Both fit: an index has at most 65535 bytes.
                let offset = u16::try_from(data.len()).unwrap_or(u16::MAX);
                let left = u16::try_from(public.data_size() - data.len()).unwrap_or(u16::MAX);
                let chunk = self.run_empty_auth("NV_Read", &label, |tpm| {
                    tpm.nv_read(NvAuth::NvIndex(handle), handle, left.min(chunk_size), offset)
                })?;
                if chunk.is_empty() {
                    return Err(TpmError::check("NV_Read", &label, "no bytes returned"));
                }
                data.extend_from_slice(&chunk);
            }
            Ok(Some(data))
        })
    }

    /// Defines an index for one number, see [`Tpm::nv_define`].
    pub fn nv_define_u64(&self, index: u32) -> Result<(), TpmError> {
        self.nv_define(index, size_of::<u64>())
    }

    /// Reads a number; `None` if the index is not defined or was never written.
    pub fn nv_read_u64(&self, index: u32) -> Result<Option<u64>, TpmError> {
        let Some(data) = self.nv_read(index)? else { return Ok(None) };
        let bytes = <[u8; 8]>::try_from(data.as_slice()).map_err(|_| {
            let detail = format!("it has {} bytes, expected 8", data.len());
            TpmError::check("NV_Read", &label(index), detail)
        })?;
        Ok(Some(u64::from_be_bytes(bytes)))
    }

    /// Writes a number as the owner.
    pub fn nv_write_u64(&self, index: u32, value: u64) -> Result<(), TpmError> {
        self.nv_write(index, &value.to_be_bytes())
    }

    /// The defined indices in a range.
    pub(crate) fn nv_indices(&self, range: RangeInclusive<u32>) -> Result<Vec<u32>, TpmError> {
        self.handles_in(range)
    }

    /// The handles in use in a range. Asking first keeps the TSS from logging an error for each
    /// absent handle.
    pub(crate) fn handles_in(&self, range: RangeInclusive<u32>) -> Result<Vec<u32>, TpmError> {
        const OPERATION: &str = "GetCapability";
        let mut found = Vec::new();
        let mut next = *range.start();
        loop {
            let (data, more) = self.run(OPERATION, "handles", |tpm| {
                tpm.get_capability(CapabilityType::Handles, next, HANDLES_PER_QUERY)
            })?;
            let CapabilityData::Handles(handles) = data else {
                return Err(TpmError::check(OPERATION, "handles", "not a list of handles"));
            };
            let handles: Vec<u32> = handles.into_inner().into_iter().map(u32::from).collect();
            found.extend(handles.iter().copied().filter(|handle| range.contains(handle)));
            match handles.last() {
                Some(&last) if more && last < *range.end() => next = last + 1,
                _ => return Ok(found),
            }
        }
    }

    fn with_nv_handle<T>(
        &self,
        index: u32,
        work: impl FnOnce(NvIndexHandle) -> Result<T, TpmError>,
    ) -> Result<T, TpmError> {
        let handle = self.nv_handle(index)?;
        let result = work(handle);
        let closed = self.run("NV_Close", &label(index), |tpm| tpm.tr_close(&mut handle.into()));
        result.and_then(|value| closed.map(|()| value))
    }

    fn nv_handle(&self, index: u32) -> Result<NvIndexHandle, TpmError> {
        self.run("NV_ReadPublic", &label(index), |tpm| {
            let handle = TpmHandle::NvIndex(NvIndexTpmHandle::new(index)?);
            tpm.tr_from_tpm_public(handle).map(NvIndexHandle::from)
        })
    }

    fn nv_buffer_size(&self) -> Result<u16, TpmError> {
        let size = self.run("GetCapability", "NV buffer size", |tpm| {
            tpm.get_tpm_property(PropertyTag::NvBufferMax)
        })?;
        let size = size.unwrap_or(SMALLEST_NV_BUFFER).clamp(1, LARGEST_NV_BUFFER);
        Ok(u16::try_from(size).unwrap_or(u16::MAX))
    }
}

fn label(index: u32) -> String {
    format!("NV index {index:#010x}")
}
