// The door to toml++, a C++ library of headers: a text in, its values out, one after the other.
#pragma once
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/// A text that was read.
struct ctoml_document;

enum ctoml_kind {
    /// What follows, up to its end, is in it.
    CTOML_TABLE, CTOML_LIST,
    CTOML_END,
    CTOML_TEXT, CTOML_INTEGER, CTOML_NUMBER, CTOML_FLAG, CTOML_DATE, CTOML_TIME, CTOML_DATE_TIME,
    /// A table or list in more others than were asked for.
    CTOML_TOO_DEEP
};

/// One value, or the end of a table or list. What it points to is the document's, UTF-8, and not ended by a NUL.
struct ctoml_item {
    enum ctoml_kind kind;
    /// NULL in lists, for the document itself, and at an end.
    const char *key;
    size_t key_bytes;
    const char *text;
    size_t text_bytes;
    /// Of a flag, 0 or 1.
    int64_t integer;
    double number;
};

/// Room for an error's words.
enum { CTOML_ERROR_BYTES = 256 };

/// Reads a text. NULL: `error` and `line` say why and where; line 0 is not known.
struct ctoml_document *ctoml_read(const char *text, size_t bytes, int deepest, char *error, int *line);
/// The next item: first the document's own table, and its end last. 0: there was no more.
int ctoml_next(struct ctoml_document *document, struct ctoml_item *item);
void ctoml_free(struct ctoml_document *document);

#ifdef __cplusplus
}
#endif
