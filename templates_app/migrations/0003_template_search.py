"""The words of templates, kept by Postgres itself in generated columns; ``templates_app/search.py`` reads them.

They are no fields of the model, so that nobody who reads a template carries them along.
"""

from django.db import migrations

# SQL-standard bodies are bound when the function is made: no search path changes what they mean.
FUNCTIONS = """
CREATE FUNCTION template_words(name text, category text, tags text[], description text, nl_description text)
RETURNS tsvector LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN setweight(to_tsvector('english', name), 'A')
    || setweight(to_tsvector('english', array_to_string(tags, ' ') || ' ' || category), 'B')
    || setweight(to_tsvector('english', description), 'C')
    || setweight(to_tsvector('english', nl_description), 'D');

-- Every ending of every word: the beginning of an ending is any part of a word, and an index finds beginnings.
-- Of each 32 characters are kept, so that the longest template stays below the 1 MB that a tsvector may have.
CREATE FUNCTION template_endings(name text, category text, tags text[], description text)
RETURNS tsvector LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN (
    SELECT coalesce(array_to_tsvector(array_agg(DISTINCT substr(word, start, 32))), ''::tsvector)
    FROM regexp_split_to_table(
        lower(name || ' ' || category || ' ' || array_to_string(tags, ' ') || ' ' || description),
        '[^[:alnum:]]+'
    ) AS word, generate_series(1, length(word)) AS start
);

-- What finds all the words of a text, each as any part of a word. A word is letters and digits: nothing to quote.
CREATE FUNCTION template_parts(wanted text)
RETURNS tsquery LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN (
    SELECT coalesce(string_agg('''' || left(part, 32) || ''':*', ' & '), '')::tsquery
    FROM regexp_split_to_table(lower(wanted), '[^[:alnum:]]+') AS part
    WHERE part <> ''
);
"""
NO_FUNCTIONS = """
DROP FUNCTION template_parts;
DROP FUNCTION template_endings;
DROP FUNCTION template_words;
"""
COLUMNS = """
ALTER TABLE templates_app_template
    ADD COLUMN words tsvector
        GENERATED ALWAYS AS (template_words(name, category, tags, description, nl_description)) STORED,
    ADD COLUMN endings tsvector
        GENERATED ALWAYS AS (template_endings(name, category, tags, description)) STORED;
CREATE INDEX template_by_word ON templates_app_template USING gin (words);
CREATE INDEX template_by_part ON templates_app_template USING gin (endings);
"""
NO_COLUMNS = "ALTER TABLE templates_app_template DROP COLUMN words, DROP COLUMN endings;"


class Migration(migrations.Migration):
    dependencies = [("templates_app", "0002_whole_templates")]

    operations = [
        migrations.RunSQL(FUNCTIONS, NO_FUNCTIONS),
        migrations.RunSQL(COLUMNS, NO_COLUMNS),
    ]
