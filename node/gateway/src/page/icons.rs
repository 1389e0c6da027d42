//! Small drawings in pages. They say nothing that the words beside them do not, so readers skip them.

/// A drawing, as SVG that inherits colour and size from the page's style.
macro_rules! icon {
    ($name:ident, $path:literal) => {
        pub(crate) const $name: &str = concat!(
            "<svg viewBox=\"0 0 20 20\" aria-hidden=\"true\"><path d=\"",
            $path,
            "\"/></svg>"
        );
    };
}

/// The same that browsers show beside the page's title.
pub(crate) const LOGO: &str = include_str!("../../assets/icon.svg");

icon!(DOWN, "M10 3v10m-4-4 4 4 4-4M4 17h12");
icon!(
    FOLDER,
    "M2.5 5.5v9A1.5 1.5 0 0 0 4 16h12a1.5 1.5 0 0 0 1.5-1.5v-7A1.5 1.5 0 0 0 16 6h-6L8 4H4a1.5 1.5 0 0 0-1.5 1.5z"
);
icon!(
    FILE,
    "M5 2.5h6.5l4 4V16a1.5 1.5 0 0 1-1.5 1.5H5A1.5 1.5 0 0 1 3.5 16V4A1.5 1.5 0 0 1 5 2.5zM11 2.5V7h4.5"
);
/// Beside a folder; turns when it opens.
pub(crate) const TURN: &str = "<svg class=\"turn\" viewBox=\"0 0 20 20\" aria-hidden=\"true\"><path d=\"M7.5 4.5 13 10l-5.5 5.5\"/></svg>";
icon!(
    LINK,
    "M8.5 11.5a3.5 3.5 0 0 0 5 0L16 9a3.5 3.5 0 0 0-5-5L9.8 5.2M11.5 8.5a3.5 3.5 0 0 0-5 0L4 11a3.5 3.5 0 0 0 5 5l1.2-1.2"
);
icon!(
    SWARM,
    "M10 4.5a1.5 1.5 0 1 0 0-.01M4.5 15a1.5 1.5 0 1 0 0-.01M15.5 15a1.5 1.5 0 1 0 0-.01M9.3 5.9 5.2 13.3M10.7 5.9l4.1 7.4M6 14.8h8"
);
icon!(
    CLOCK,
    "M10 2.5a7.5 7.5 0 1 0 0 15 7.5 7.5 0 0 0 0-15zM10 6v4.2l3 1.8"
);
icon!(
    STOP,
    "M10 2.5a7.5 7.5 0 1 0 0 15 7.5 7.5 0 0 0 0-15zM4.7 4.7l10.6 10.6"
);
icon!(
    DONE,
    "M10 2.5a7.5 7.5 0 1 0 0 15 7.5 7.5 0 0 0 0-15zM6.5 10.2l2.5 2.5 4.7-5"
);
icon!(MOON, "M16.5 12.2A7 7 0 0 1 7.8 3.5a7 7 0 1 0 8.7 8.7z");
icon!(
    LOST,
    "M8.5 3a5.5 5.5 0 1 0 0 11 5.5 5.5 0 0 0 0-11zM12.5 12.5 17 17M6.8 7.2a1.8 1.8 0 1 1 2.3 1.7c-.4.1-.6.4-.6.8M8.5 11.5v.01"
);
icon!(
    LOCK,
    "M5 9h10a1 1 0 0 1 1 1v6a1 1 0 0 1-1 1H5a1 1 0 0 1-1-1v-6a1 1 0 0 1 1-1zM6.5 9V6.5a3.5 3.5 0 0 1 7 0V9M10 12.5v1.5"
);
