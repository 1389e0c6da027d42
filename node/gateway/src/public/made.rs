//! What is made of a share's files for a browser: an archive of all of them, and pages that show one.

use super::{Visit, blocking};
use crate::answer::{Problem, page_response};
use crate::content::Content;
use crate::naming::Naming;
use crate::page::preview::{Preview, TEXT_MAX_BYTES};
use crate::page::preview_page;
use crate::port::{FileError, Stage};
use crate::zip::{ZipFile, ZipSeat};
use axum::response::Response;
use http::request::Parts;
use http::{Method, StatusCode};
use shoal_protocol::path::RelPath;
use std::sync::Arc;

impl Visit {
    /// All of the share as one archive.
    pub(super) async fn zip(self, head: &Parts) -> Result<Response, Problem> {
        let about = self.share.about();
        if about.stage == Stage::Walking {
            return Err(Problem::counting(StatusCode::SERVICE_UNAVAILABLE));
        }
        let (share, pool) = (self.share.clone(), self.pool.clone());
        let (method, asked) = (head.method.clone(), head.headers.clone());
        let (content, archive) = blocking(move || {
            let archive = self.archives.of(self.id, &about, share.list());
            let naming = Naming::of_archive(&about.name);
            let file = Arc::new(ZipFile::new(archive.clone(), share));
            Content::of(file, naming, &method, &asked, &pool).map(|content| (content, archive))
        })
        .await??;
        content.answer(&head.method, self.delivery, self.pool, |from| {
            let seat = self.share.admit(&self.visitor)?;
            Ok(Arc::new(ZipSeat::new(seat, archive, from)))
        })
    }

    /// A page that shows a file; texts are in it.
    pub(super) async fn preview(self, path: RelPath, method: &Method) -> Result<Response, Problem> {
        let file = {
            let (share, path) = (self.share.clone(), path.clone());
            blocking(move || share.file(&path)).await??
        };
        let size = file.size();
        let with_text = matches!(
            Preview::of(path.name()),
            Some(Preview::Text | Preview::Markdown)
        );
        let seat = match with_text && method == Method::GET {
            true => Some(self.share.admit(&self.visitor)?),
            false => None,
        };
        let body = blocking(move || {
            let mut beginning = Vec::new();
            if let Some(seat) = &seat {
                let len = size.min(TEXT_MAX_BYTES);
                beginning.resize(usize::try_from(len).unwrap_or_default(), 0);
                file.read_exact_at(0, &mut beginning)
                    .map_err(|_| FileError::Changed)?;
                seat.sent(len);
            }
            let about = self.share.about();
            let shown = seat.is_some().then_some(beginning.as_slice());
            Ok::<_, FileError>(preview_page(
                &about,
                &self.path,
                &path,
                size,
                &self.share.list(),
                shown,
            ))
        })
        .await??;
        Ok(page_response(
            StatusCode::OK,
            "text/html; charset=utf-8",
            body,
        ))
    }
}
