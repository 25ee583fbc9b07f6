//! What every engine must do; on the one in memory, on Podman, and on servers that run elsewhere.
//!
//! `cases` is the contract. An engine that cannot start and stop frames keeps the part that its capabilities leave.
//! `podman` adds what only a real engine can show: the traps of Podman 4.

mod bench;
mod cases;
mod external;
mod podman;

#[cfg(feature = "test-support")]
mod memory {
    use super::bench::Bench;
    use super::cases;

    macro_rules! contract {
        ($($case:ident),* $(,)?) => {
            $(
                #[tokio::test]
                async fn $case() {
                    cases::$case(&Bench::in_memory()).await;
                }
            )*
        };
    }
    super::each_case!(contract);
}

/// Hands the name of every case to a macro.
macro_rules! each_case {
    ($with:ident) => {
        $with!(
            a_frame_without_a_container_is_missing_everywhere,
            creating_twice_makes_one_container,
            a_frame_says_what_cannot_be_done_with_it,
            what_is_put_for_a_start_stays_until_the_next_one,
            the_agent_and_the_preview_are_reached_through_their_connectors,
            what_a_frame_asks_its_broker_arrives_and_a_replaced_socket_is_noticed,
            a_volume_is_kept_or_refused,
            an_image_that_is_not_there_is_named,
            a_missing_bind_source_is_refused_and_not_silently_created,
            the_folder_named_is_the_folder_mounted_whatever_is_in_its_name,
            a_folder_that_vanished_before_the_start_is_named,
            a_foreign_container_with_our_name_is_left_alone,
            a_container_of_an_older_generation_is_replaced,
            starting_and_stopping_can_be_repeated,
            a_stopped_frame_starts_again,
            a_paused_frame_can_be_resumed_stopped_and_removed,
            pausing_needs_something_that_runs,
            commands_give_output_and_exit_code,
            a_command_in_a_halted_frame_is_refused,
            what_is_typed_reaches_the_command,
            the_exit_code_of_a_frame_is_kept,
            the_log_is_kept_and_its_following_ends_with_the_frame,
            a_running_frame_can_be_measured,
            announcements_name_the_frame,
            two_gateways_on_one_engine_do_not_see_each_other,
            images_are_found_by_name_and_id,
            only_a_frame_image_without_name_or_container_is_removed,
        );
    };
}
use each_case;
