//! What nodes expect of a broker, whichever it is: one suite of scenes, played on each.
//!
//! A broker comes in by a [`Fixture`](fixture::Fixture) and one line in [`on`]. Each scene has a broker of its own.

mod fixture;
mod node;
mod publish;
mod subscribe;
mod history;
mod presence;
mod house;
mod listeners;
mod sessions;
mod registry;
mod lost;
mod memory;
mod nats;
mod nats_alone;
mod nats_keys;
mod redis;
mod redis_alone;
mod redis_cluster;
mod redis_cluster_alone;

/// Plays all scenes on one broker.
macro_rules! scenes {
    ($broker:ident) => {
        scenes! { $broker:
            publish::positions_are_dense_from_one_in_one_epoch,
            publish::what_one_thread_says_is_heard_in_its_order,
            publish::four_publishers_on_two_nodes_are_heard_alike_by_all,
            publish::without_a_history_there_is_no_position,
            publish::what_is_said_again_is_said_once,
            publish::patterns_bring_what_is_for_them,
            publish::who_unsubscribed_hears_nothing,
            publish::whom_it_was_handed_to_is_counted,
            publish::large_bodies_arrive,
            publish::odd_names_are_names_of_their_own,
            subscribe::the_log_comes_with_the_position,
            subscribe::everything_behind_the_position_is_heard,
            subscribe::asked_again_it_only_tells,
            subscribe::an_epoch_begins_with_the_first_who_asks,
            history::pages_are_read_in_both_directions,
            history::no_more_than_the_size_is_kept,
            history::nothing_is_kept_beyond_its_age,
            history::an_epoch_ends_when_its_time_is_over,
            history::what_is_forgotten_leaves_its_position,
            history::what_was_said_outlives_the_nodes,
            presence::the_first_and_the_last_of_a_user_are_told,
            presence::members_are_listed_and_counted,
            presence::an_entry_is_replaced,
            presence::the_entries_of_a_dead_node_go,
            presence::who_leaves_takes_its_entries_along,
            listeners::who_was_on_a_dead_node_is_told_to_leave,
            listeners::who_went_while_the_broker_was_away_is_told_to_leave,
            listeners::a_broker_that_lost_everything_leaves_all_there,
            sessions::a_session_is_taken_once,
            sessions::a_session_is_kept_for_its_time,
            sessions::a_session_is_replaced_and_dropped,
            registry::nodes_come_and_go,
            registry::letters_arrive_in_order,
            registry::letters_have_a_size,
            registry::the_secret_is_shared,
            lost::a_broker_that_is_away_refuses_and_comes_back,
            lost::a_broker_that_lost_everything_says_so,
            lost::a_broker_that_stands_still_refuses_in_time,
        }
    };
    ($broker:ident: $($room:ident::$scene:ident),* $(,)?) => {
        mod $broker {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $scene() {
                    if let Some(fixture) = crate::$broker::fixture().await {
                        crate::$room::$scene(&*fixture).await;
                    }
                }
            )*
        }
    };
}

mod on {
    scenes!(memory);
    scenes!(nats);
    scenes!(redis);
    scenes!(redis_cluster);
}
