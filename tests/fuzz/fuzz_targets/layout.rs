//! tmux's layouts: any text is one or an error; one is written and read back, and so is what would be
//! recorded of it. A right checksum is put before what may have none.
#![no_main]

use tmux_roster::model::layout::{Layout, LiveLayout};

libfuzzer_sys::fuzz_target!(|text: &str| {
    let body = text.split_once(',').map_or(text, |(_, body)| body);
    let add = |sum: u16, byte: u8| sum.rotate_right(1).wrapping_add(byte.into());
    let signed = format!("{:04x},{body}", body.bytes().fold(0, add));
    for text in [text, &signed] {
        let Ok(live) = text.parse::<LiveLayout>() else { continue };
        assert!(text.contains('<') || live.to_string() == text);
        assert_eq!(live.to_string().parse(), Ok(live.clone()));
        let layout = live.normalised();
        assert_eq!(layout.cells(), live.panes().len());
        assert_eq!(layout.to_string().parse::<Layout>(), Ok(layout));
    }
});
