//! What reaches the store, how often, and what happens when the store fails or hangs.

mod budgets;
mod faults;
mod reaching_s3;
mod waiting;
