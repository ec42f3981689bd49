#!/bin/sh
# Writes bindings.rs anew from infiniband/verbs.h. Only needed when another function or type of libibverbs is wanted:
# building SciFS needs neither this script, nor libclang, nor a -dev package.
#
#   apt-get install libibverbs-dev libclang-dev      # written with libibverbs-dev 44.0-2 (Debian 12), libclang 14
#   cargo install bindgen-cli --version 0.73.2
#   sh scios/src/verbs/rdma/ffi/regenerate.sh
#
# The pthread types come from libc, because their sizes differ between architectures; for the same reason bindgen's
# layout assertions are off.
set -eu
cd "$(dirname "$0")"

functions='ibv_(get_device_list|free_device_list|get_device_name|open_device|close_device|query_device|query_port'
functions="$functions|alloc_pd|dealloc_pd|reg_mr|dereg_mr|create_comp_channel|destroy_comp_channel|create_cq|destroy_cq"
functions="$functions|get_cq_event|ack_cq_events|create_srq|destroy_srq|create_qp|modify_qp|destroy_qp|wc_status_str)"
functions="$functions|_ibv_query_gid_ex"
types='ibv_(gid_entry|gid_type|access_flags|send_flags|wc|wc_flags|wc_opcode|wc_status|wr_opcode|qp_attr_mask'
types="$types|device_cap_flags|port_state|port_attr|mw_bind_info)"

bindgen /usr/include/infiniband/verbs.h --output bindings.rs \
  --dynamic-loading Verbs --dynamic-link-require-all \
  --no-layout-tests --no-doc-comments --default-enum-style consts --no-prepend-enum-name --with-derive-default \
  --rust-edition 2024 --rust-target 1.95 --wrap-unsafe-ops --use-core --ctypes-prefix core::ffi \
  --allowlist-function "$functions" --allowlist-type "$types" \
  --blocklist-type '_*pthread_.*|timespec|__atomic_wide_counter.*' --raw-line 'use libc::{pthread_cond_t, pthread_mutex_t};'
