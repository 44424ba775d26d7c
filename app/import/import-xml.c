/* SPDX-License-Identifier: GPL-3.0-or-later */
/* libxml2 with everything switched off that a hostile document could use. */
#include <libxml/parser.h>
#include <string.h>

#include "app/import/import-private.h"

static void
swallow_error (void *user_data, xmlErrorPtr problem)
{
}

xmlDoc *
import_xml_parse (const char *path, const char *text, gsize length, GError **error)
{
  xmlParserCtxt *context = xmlNewParserCtxt ();
  xmlDoc *document;

  if (context == NULL)
    {
      (void)import_set_invalid (error, path, "there is not enough memory to read it");
      return NULL;
    }
  xmlSetStructuredErrorFunc (context, swallow_error);
  document = xmlCtxtReadMemory (context, text, (int)length, path, NULL,
                                XML_PARSE_NONET | XML_PARSE_NOERROR | XML_PARSE_NOWARNING |
                                    XML_PARSE_NOCDATA);
  xmlSetStructuredErrorFunc (NULL, NULL);
  if (document == NULL)
    {
      const xmlError *problem = xmlCtxtGetLastError (context);
      g_autofree char *message = problem != NULL && problem->message != NULL
                                     ? g_utf8_make_valid (problem->message, -1)
                                     : g_strdup ("it is damaged");

      (void)import_set_invalid (error, path, "it is no XML document (line %d: %s)",
                                problem != NULL ? problem->line : 0, g_strchomp (message));
    }
  xmlFreeParserCtxt (context);
  /* Entities are how a small document becomes a large one, or reads files. */
  if (document != NULL && (document->intSubset != NULL || document->extSubset != NULL ||
                           xmlDocGetRootElement (document) == NULL))
    {
      xmlFreeDoc (document);
      document = NULL;
      (void)import_set_invalid (error, path,
                                "it has a document type definition, which no such document needs: "
                                "remove it");
    }
  return document;
}

gboolean
import_xml_is (xmlNode *node, const char *name)
{
  return node->type == XML_ELEMENT_NODE && strcmp ((const char *)node->name, name) == 0;
}

static xmlNode *
find (xmlNode *node, const char *name)
{
  while (node != NULL && !import_xml_is (node, name))
    node = node->next;
  return node;
}

xmlNode *
import_xml_child (xmlNode *node, const char *name)
{
  return node != NULL ? find (node->children, name) : NULL;
}

xmlNode *
import_xml_next (xmlNode *node, const char *name)
{
  return node != NULL ? find (node->next, name) : NULL;
}

static char *
take (xmlChar *text)
{
  char *copy;

  if (text == NULL)
    return NULL;
  copy = g_strstrip (g_strdup ((const char *)text));
  xmlFree (text);
  return copy;
}

char *
import_xml_attribute (xmlNode *node, const char *name)
{
  if (node == NULL)
    return NULL;
  for (xmlAttr *attribute = node->properties; attribute != NULL; attribute = attribute->next)
    if (strcmp ((const char *)attribute->name, name) == 0)
      return take (xmlNodeListGetString (node->doc, attribute->children, 1));
  return NULL;
}

char *
import_xml_text (xmlNode *node)
{
  return node != NULL ? take (xmlNodeGetContent (node)) : NULL;
}

char *
import_xml_child_text (xmlNode *node, const char *name)
{
  return import_xml_text (import_xml_child (node, name));
}
