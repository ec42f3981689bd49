//! What a queue pair is asked to do, and how `verbs.h` wants it written.

use super::Window;
use super::bindings::{
    self, IBV_SEND_INLINE, IBV_SEND_SIGNALED, IBV_SEND_SOLICITED, IBV_WR_ATOMIC_CMP_AND_SWP,
    IBV_WR_ATOMIC_FETCH_AND_ADD, IBV_WR_BIND_MW, IBV_WR_RDMA_READ, IBV_WR_RDMA_WRITE,
    IBV_WR_RDMA_WRITE_WITH_IMM, IBV_WR_SEND_WITH_IMM,
};
use super::protection::window_flags;
use crate::memory::RegionSlice;
use crate::verbs::Rights;

/// A registered range, as the device names it.
#[derive(Clone, Copy, Debug)]
#[repr(transparent)]
pub struct Sge(bindings::ibv_sge);

impl Sge {
    pub(super) fn new(address: u64, bytes: u32, lkey: u32) -> Self {
        Self(bindings::ibv_sge { addr: address, length: bytes, lkey })
    }

    pub(super) fn raw(&mut self) -> *mut bindings::ibv_sge {
        &mut self.0
    }
}

/// The peer's memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Remote {
    pub address: u64,
    pub key: u32,
}

#[derive(Clone, Copy, Debug)]
pub enum WorkKind<'a> {
    /// `imm` arrives with the message.
    Send {
        imm: u32,
    },
    Write {
        into: Remote,
    },
    WriteImm {
        into: Remote,
        imm: u32,
    },
    Read {
        from: Remote,
    },
    CompareAndSwap {
        at: Remote,
        expected: u64,
        new: u64,
    },
    FetchAdd {
        at: Remote,
        add: u64,
    },
    /// Gives this queue pair's peer a range inside of the window's registration.
    Bind {
        window: &'a Window,
        key: u32,
        range: &'a RegionSlice,
        rights: Rights,
    },
}

/// This node's side of the transfer.
#[derive(Clone, Copy, Debug)]
pub enum Payload<'a> {
    /// Copied by the call itself; at most the queue pair's `inline_bytes`.
    Inline(&'a [u8]),
    /// Read or written by the device until the work completes.
    Gather(&'a [Sge]),
}

#[derive(Clone, Copy, Debug)]
pub struct Work<'a> {
    pub id: u64,
    /// Whether success is reported; failure always is.
    pub signaled: bool,
    pub kind: WorkKind<'a>,
    pub payload: Payload<'a>,
}

impl Work<'_> {
    /// Writes the request to `wr`. `inline` is where the gather entry of an inline payload goes; `wr` refers to it.
    pub(super) fn fill(&self, wr: &mut bindings::ibv_send_wr, inline: &mut bindings::ibv_sge) {
        wr.wr_id = self.id;
        wr.send_flags = if self.signaled { IBV_SEND_SIGNALED } else { 0 };
        match self.payload {
            Payload::Inline(bytes) => {
                // The caller has compared the length with the limit, which is far below 4 GiB.
                let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
                *inline = bindings::ibv_sge { addr: bytes.as_ptr() as u64, length, lkey: 0 };
                wr.sg_list = inline;
                wr.num_sge = i32::from(!bytes.is_empty());
                wr.send_flags |= IBV_SEND_INLINE;
            }
            Payload::Gather(sges) => {
                // `Sge` is an `ibv_sge`, and the driver only reads the list, its `*mut` notwithstanding.
                wr.sg_list = sges.as_ptr().cast_mut().cast();
                wr.num_sge = i32::try_from(sges.len()).unwrap_or(i32::MAX);
            }
        }
        match self.kind {
            WorkKind::Send { imm } => {
                wr.opcode = IBV_WR_SEND_WITH_IMM;
                wr.send_flags |= IBV_SEND_SOLICITED;
                wr.__bindgen_anon_1.imm_data = imm.to_be();
            }
            WorkKind::Write { into } => Self::transfer(wr, IBV_WR_RDMA_WRITE, into),
            WorkKind::Read { from } => Self::transfer(wr, IBV_WR_RDMA_READ, from),
            WorkKind::WriteImm { into, imm } => {
                Self::transfer(wr, IBV_WR_RDMA_WRITE_WITH_IMM, into);
                wr.send_flags |= IBV_SEND_SOLICITED;
                wr.__bindgen_anon_1.imm_data = imm.to_be();
            }
            WorkKind::CompareAndSwap { at, expected, new } => {
                Self::atomic(wr, IBV_WR_ATOMIC_CMP_AND_SWP, at, expected, new);
            }
            WorkKind::FetchAdd { at, add } => Self::atomic(wr, IBV_WR_ATOMIC_FETCH_AND_ADD, at, add, 0),
            WorkKind::Bind { window, key, range, rights } => {
                wr.opcode = IBV_WR_BIND_MW;
                wr.__bindgen_anon_2.bind_mw = bindings::ibv_send_wr__bindgen_ty_4__bindgen_ty_1 {
                    mw: window.raw(),
                    rkey: key,
                    bind_info: bindings::ibv_mw_bind_info {
                        mr: window.registration().raw(),
                        addr: range.base() as u64,
                        length: range.bytes() as u64,
                        mw_access_flags: window_flags(rights),
                    },
                };
            }
        }
    }

    fn transfer(wr: &mut bindings::ibv_send_wr, opcode: bindings::ibv_wr_opcode, remote: Remote) {
        wr.opcode = opcode;
        wr.wr.rdma = bindings::ibv_send_wr__bindgen_ty_2__bindgen_ty_1 {
            remote_addr: remote.address,
            rkey: remote.key,
        };
    }

    fn atomic(
        wr: &mut bindings::ibv_send_wr,
        opcode: bindings::ibv_wr_opcode,
        at: Remote,
        compare_add: u64,
        swap: u64,
    ) {
        wr.opcode = opcode;
        wr.wr.atomic = bindings::ibv_send_wr__bindgen_ty_2__bindgen_ty_2 {
            remote_addr: at.address,
            compare_add,
            swap,
            rkey: at.key,
        };
    }
}
