//! Hosts, doing what their users do all day.

mod forges;
