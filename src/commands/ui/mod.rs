//! What keys open: the picker, menus, prompts.

pub mod fzf;
pub mod key;
pub mod keys;
pub mod menu;
pub mod message;
pub mod pick;
pub mod preview;
pub mod rows;
pub mod terminal;
