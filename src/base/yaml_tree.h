/* The tree behind yaml.h, shared by the files that read, edit and write it. */
#ifndef QDS_BASE_YAML_TREE_H
#define QDS_BASE_YAML_TREE_H

#include "base/yaml.h"

/* Limits that keep a hostile or mistaken file from exhausting time or memory. Aliases count as what they
 * expand to. */
enum {
  QDS_YAML_MAX_BYTES = 16 << 20,
  QDS_YAML_MAX_DEPTH = 100,
  QDS_YAML_MAX_NODES = 1000000,
  QDS_YAML_MAX_KEYS = 10000,
  QDS_YAML_MAX_KEY_BYTES = 200, /* libyaml finds a key only within 1024 characters, escapes included */
  QDS_YAML_MAX_ANCHORS = 1000,
};

struct qds_yaml_node {
  qds_yaml *document;
  qds_yaml_node *parent; /* NULL for the root */
  const char *key;       /* in the parent when that is a map, else NULL */
  const char *setting;   /* the path of the assignment that made the node; NULL for one from the file */
  const char *text;
  qds_yaml_node **items;
  size_t count; /* `items` has room for the next power of two */
  size_t index; /* in the parent */
  qds_yaml_kind kind;
  int line;
  int quoted; /* a scalar that is text even where it looks like a number */
  int open;   /* its end was not read yet: an alias to it would be a circle */
};

/* Nodes and their texts live in pieces that grow with the tree and go with the document. */
typedef struct qds_yaml_piece qds_yaml_piece;
struct qds_yaml_piece {
  qds_yaml_piece *next;
  size_t used, room;
};

struct qds_yaml {
  qds_allocator *allocator;
  const char *name;
  qds_yaml_piece *pieces;
  qds_yaml_node *root;
  size_t nodes;
};

qds_status qds_yaml_create(qds_allocator *allocator, const char *name, qds_yaml **out);
/* A copy of `length` bytes of text, ended by a zero byte. */
qds_status qds_yaml_keep(qds_yaml *yaml, const char *text, size_t length, const char **out);
/* A node that knows its parent, which does not know it yet: qds_yaml_append makes it the last item. `key` is
 * not copied. Depth and number of nodes are checked here. */
qds_status qds_yaml_node_create(qds_yaml *yaml, qds_yaml_node *parent, const char *key, int line,
                                const char *setting, qds_yaml_node **out);
qds_status qds_yaml_append(qds_yaml_node *parent, qds_yaml_node *child);
/* Parses `text` into a node that is not appended to its parent. `setting` as in qds_yaml_node. */
qds_status qds_yaml_parse_node(qds_yaml *yaml, const char *text, size_t bytes, qds_yaml_node *parent,
                               const char *key, const char *setting, qds_yaml_node **out);
/* Text that means nothing: empty, ~, null. */
int qds_yaml_is_null_word(const char *text);

#endif
