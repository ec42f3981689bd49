//! The cases, by the promise that they try.

mod connecting;
mod ending;
mod hostile;
mod listening;
mod liveness;
mod messages;
mod onesided;
mod order;
mod pressure;
mod protection;
mod secrets;

use super::runner::{Case, Needs};

/// Cases by their functions' names, so that a name can't differ from what it names.
macro_rules! cases {
    ($module:ident, $needs:ident, $($name:ident),* $(,)?) => {
        [$(Case {
            name: concat!(stringify!($module), "::", stringify!($name)),
            run: $module::$name,
            needs: Needs::$needs,
        }),*]
    };
}

pub fn all() -> Vec<Case> {
    [connecting(), secrets(), messages(), pressure(), onesided(), protection(), ends(), hostile()].concat()
}

/// Those that a wire which loses packets could break.
pub fn for_a_bad_wire() -> Vec<Case> {
    all().into_iter().filter(|case| case.needs == Needs::BadWire).collect()
}

fn connecting() -> Vec<Case> {
    cases!(
        connecting,
        Nothing,
        both_sides_see_the_other_up_with_its_address,
        two_that_connect_at_once_are_up_once,
        connecting_to_a_peer_that_is_up_delivers_nothing,
        a_node_does_not_connect_to_itself,
        an_address_where_nobody_listens_is_unreachable,
        what_cannot_be_understood_as_an_address_is_refused_at_once,
        what_answers_and_is_no_node_is_told_apart,
        what_never_answers_is_given_up,
        five_nodes_that_all_connect_to_all_are_up_once_each,
        a_peer_that_is_down_can_be_connected_again,
    )
    .to_vec()
}

fn secrets() -> Vec<Case> {
    cases!(
        secrets,
        Nothing,
        nodes_with_the_same_secret_are_up,
        another_secret_is_refused,
        a_node_without_the_secret_is_told_to_get_it,
        a_node_with_a_secret_does_not_talk_to_one_without,
        another_version_is_refused_and_both_are_named,
        a_refused_node_harms_nobody,
    )
    .to_vec()
}

fn messages() -> Vec<Case> {
    let mut all = cases!(
        messages,
        Nothing,
        messages_of_every_size_arrive_whole,
        heads_and_gathered_bodies_arrive_as_one_message,
        a_message_that_is_too_long_is_refused_and_harms_nothing,
        more_slices_than_can_be_gathered_are_refused,
        memory_may_change_as_soon_as_send_has_returned,
        nobody_is_reached_who_is_not_up,
        a_handler_answers_from_within_the_call,
        a_handler_may_call_everything,
    )
    .to_vec();
    all.extend(cases!(
        order,
        BadWire,
        messages_arrive_once_and_in_order,
        floods_in_both_directions_keep_their_order,
        what_several_threads_send_arrives_once_and_in_each_ones_order,
        long_and_short_messages_keep_their_order,
    ));
    all
}

fn pressure() -> Vec<Case> {
    let mut all = cases!(
        pressure,
        Nothing,
        a_slow_peer_costs_its_sender_errors_and_no_memory,
        a_slow_peer_does_not_slow_down_others,
        empty_messages_are_bounded_too,
        a_peer_that_goes_with_a_full_queue_is_down,
        more_bytes_than_fit_are_all_read_in_the_end,
    )
    .to_vec();
    all.extend(cases!(pressure, BadWire, more_operations_than_fit_are_all_done_in_the_end));
    all
}

fn onesided() -> Vec<Case> {
    let mut all = cases!(
        onesided,
        Nothing,
        reads_of_every_size_bring_the_bytes,
        gathered_writes_of_every_size_are_in_place_when_done,
        only_the_named_bytes_are_written,
        what_does_not_fit_into_one_operation_is_refused,
        ranges_of_different_length_and_misaligned_atomics_are_refused,
        compare_and_swap_changes_what_is_expected_and_nothing_else,
        fetch_and_add_gives_what_was_there_and_wraps,
        an_operation_on_a_peer_that_is_not_up_is_refused,
        a_handler_begins_operations,
    )
    .to_vec();
    all.extend(cases!(
        onesided,
        BadWire,
        a_write_with_a_number_is_told_once_the_bytes_are_in_place,
        placed_pages_are_there_before_their_message,
        a_message_finds_the_writes_that_were_begun_before_it,
        the_last_of_many_writes_stays,
        what_several_peers_add_sums_exactly,
        a_lock_taken_by_compare_and_swap_is_held_by_one,
    ));
    all
}

fn protection() -> Vec<Case> {
    cases!(
        protection,
        Nothing,
        a_read_without_the_right_is_denied,
        a_write_without_the_right_is_denied,
        a_placed_page_without_the_right_is_denied,
        an_atomic_without_the_right_is_denied,
        a_read_beyond_the_end_is_denied,
        a_write_across_the_end_is_denied,
        a_write_before_the_beginning_is_denied,
        a_forged_key_reaches_no_more_than_the_grant,
        an_unknown_key_is_denied,
        an_expired_grant_is_denied,
        a_revoked_grant_is_denied,
        a_forgotten_region_is_denied,
        the_key_of_another_peer_is_denied,
        a_grant_ends_with_the_connection,
        nothing_is_granted_to_a_peer_that_is_not_up,
        grants_are_bounded_and_a_revoked_one_makes_room,
        memory_is_registered_and_forgotten_any_number_of_times,
        the_offender_may_come_back,
    )
    .to_vec()
}

fn ends() -> Vec<Case> {
    let mut all = cases!(
        liveness,
        Nothing,
        an_idle_peer_stays_up,
        a_frozen_peer_is_down_in_bounded_time,
        a_killed_peer_is_down_in_bounded_time,
        a_peer_that_was_frozen_for_too_long_can_come_back,
        a_short_freeze_is_forgiven,
    )
    .to_vec();
    all.extend(cases!(
        ending,
        Nothing,
        a_disconnect_is_told_to_both,
        every_operation_is_done_before_down,
        nothing_is_delivered_after_stop,
        a_stopped_fabric_refuses_everything,
        a_disconnect_of_nobody_does_nothing,
        a_handler_may_disconnect_its_peer,
        the_others_do_not_notice_that_one_left,
    ));
    all
}

fn hostile() -> Vec<Case> {
    let mut all = cases!(
        hostile,
        RawBytes,
        garbage_costs_its_own_connection_and_nothing_else,
        connections_that_say_nothing_do_not_keep_others_out,
    )
    .to_vec();
    all.extend(cases!(
        listening,
        RawBytes,
        an_address_in_use_is_refused,
        a_node_without_a_secret_stays_on_loopback,
        what_cannot_be_listened_on_is_refused,
    ));
    all
}
