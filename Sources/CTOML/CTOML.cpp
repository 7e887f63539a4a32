// toml++ without its exceptions and its writers. The document's values are laid out once, so that nothing recurses
// over them afterwards.
#if !__has_include(<toml++/toml.h>)
#error "toml++'s headers are missing: run `apt-get install libtomlplusplus-dev`"
#endif
#define TOML_HEADER_ONLY 1
#define TOML_EXCEPTIONS 0
#define TOML_ENABLE_FORMATTERS 0
#include "CTOML.h"
#include <cstdio>
#include <new>
#include <toml++/toml.h>
#include <vector>

struct ctoml_document {
    toml::table table;
    std::vector<ctoml_item> items;
    size_t next = 0;
};

namespace {

/// Lays out a document's values, tables and lists around what is in them.
struct Layout {
    std::vector<ctoml_item> &items;
    int deepest;

    void put(const char *key, size_t key_bytes, const toml::node &node, int depth) {
        ctoml_item item{};
        item.key = key;
        item.key_bytes = key_bytes;
        const bool is_inside = depth < deepest;
        switch (node.type()) {
        case toml::node_type::table: return put(node.as_table(), is_inside, item, depth);
        case toml::node_type::array: return put(node.as_array(), is_inside, item, depth);
        case toml::node_type::string: {
            const auto &text = node.as_string()->get();
            item.kind = CTOML_TEXT;
            item.text = text.data();
            item.text_bytes = text.size();
            break;
        }
        case toml::node_type::integer:
            item.kind = CTOML_INTEGER;
            item.integer = node.as_integer()->get();
            break;
        case toml::node_type::floating_point:
            item.kind = CTOML_NUMBER;
            item.number = node.as_floating_point()->get();
            break;
        case toml::node_type::boolean:
            item.kind = CTOML_FLAG;
            item.integer = node.as_boolean()->get();
            break;
        case toml::node_type::date: item.kind = CTOML_DATE; break;
        case toml::node_type::time: item.kind = CTOML_TIME; break;
        case toml::node_type::date_time: item.kind = CTOML_DATE_TIME; break;
        case toml::node_type::none: return;
        }
        items.push_back(item);
    }

    void put(const toml::table *table, bool is_inside, ctoml_item item, int depth) {
        if (!open(item, CTOML_TABLE, is_inside)) return;
        for (const auto &[key, node] : *table) put(key.str().data(), key.str().size(), node, depth + 1);
        close();
    }

    void put(const toml::array *array, bool is_inside, ctoml_item item, int depth) {
        if (!open(item, CTOML_LIST, is_inside)) return;
        for (const auto &node : *array) put(nullptr, 0, node, depth + 1);
        close();
    }

    bool open(ctoml_item item, ctoml_kind kind, bool is_inside) {
        item.kind = is_inside ? kind : CTOML_TOO_DEEP;
        items.push_back(item);
        return is_inside;
    }

    void close() {
        ctoml_item item{};
        item.kind = CTOML_END;
        items.push_back(item);
    }
};

} // namespace

extern "C" struct ctoml_document *ctoml_read(const char *text, size_t bytes, int deepest, char *error, int *line) {
    toml::parse_result result = toml::parse(std::string_view{text, bytes});
    if (!result) {
        const auto words = result.error().description();
        snprintf(error, CTOML_ERROR_BYTES, "%.*s", static_cast<int>(words.size()), words.data());
        *line = static_cast<int>(result.error().source().begin.line);
        return nullptr;
    }
    auto *document = new (std::nothrow) ctoml_document{std::move(result).table(), {}, 0};
    if (!document) {
        snprintf(error, CTOML_ERROR_BYTES, "out of memory");
        *line = 0;
        return nullptr;
    }
    Layout{document->items, deepest}.put(nullptr, 0, document->table, 0);
    return document;
}

extern "C" int ctoml_next(struct ctoml_document *document, struct ctoml_item *item) {
    if (document->next == document->items.size()) return 0;
    *item = document->items[document->next++];
    return 1;
}

extern "C" void ctoml_free(struct ctoml_document *document) { delete document; }
