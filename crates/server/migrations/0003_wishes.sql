-- What the client wants of the decoding, as JSON; what is null or missing is left to the service's settings.
ALTER TABLE jobs ADD COLUMN wishes TEXT NOT NULL DEFAULT '{}' CHECK (json_valid(wishes));

UPDATE jobs SET wishes = json_object(
    'language', language,
    'word_timestamps', json(CASE word_timestamps WHEN 1 THEN 'true' WHEN 0 THEN 'false' ELSE 'null' END)
);

ALTER TABLE jobs DROP COLUMN language;
ALTER TABLE jobs DROP COLUMN word_timestamps;
