-- What the three workflows change. Money is whole cents. Run once, when the schema is made.
CREATE TABLE IF NOT EXISTS effects (
    idempotency_key text PRIMARY KEY,
    execution_id    text NOT NULL,
    block_id        text NOT NULL,
    result          jsonb,
    done_at         timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE IF NOT EXISTS outbox (
    message_id   bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    execution_id text NOT NULL,
    block_id     text NOT NULL,
    channel      text NOT NULL,
    recipient    text NOT NULL,
    subject      text NOT NULL,
    body         text NOT NULL
);

-- Order processing
CREATE TABLE IF NOT EXISTS stock (
    sku         text PRIMARY KEY,
    on_hand     integer NOT NULL CHECK (on_hand >= 0),
    price_cents bigint NOT NULL CHECK (price_cents > 0)
);
CREATE TABLE IF NOT EXISTS orders (
    order_id     text PRIMARY KEY,
    execution_id text NOT NULL,
    status       text NOT NULL,
    total_cents  bigint NOT NULL
);
CREATE TABLE IF NOT EXISTS reservations (
    execution_id text NOT NULL,
    sku          text NOT NULL REFERENCES stock,
    quantity     integer NOT NULL CHECK (quantity > 0),
    released     boolean NOT NULL DEFAULT false,
    PRIMARY KEY (execution_id, sku)
);
CREATE TABLE IF NOT EXISTS backorders (
    execution_id text NOT NULL,
    sku          text NOT NULL REFERENCES stock,
    quantity     integer NOT NULL CHECK (quantity > 0),
    PRIMARY KEY (execution_id, sku)
);
CREATE TABLE IF NOT EXISTS cards (
    card        text PRIMARY KEY,
    limit_cents bigint NOT NULL
);
CREATE TABLE IF NOT EXISTS ledger (
    order_id     text PRIMARY KEY REFERENCES orders,
    card         text NOT NULL,
    outcome      text NOT NULL CHECK (outcome IN ('charged', 'declined')),
    amount_cents bigint NOT NULL CHECK (amount_cents > 0)
);

-- CI/CD
CREATE TABLE IF NOT EXISTS pipelines (
    execution_id text PRIMARY KEY,
    repository   text NOT NULL,
    revision     text NOT NULL,
    status       text NOT NULL
);
CREATE TABLE IF NOT EXISTS images (
    digest  text PRIMARY KEY,
    content text NOT NULL
);
CREATE TABLE IF NOT EXISTS registry (
    repository text NOT NULL,
    tag        text NOT NULL,
    digest     text NOT NULL REFERENCES images,
    PRIMARY KEY (repository, tag)
);
CREATE TABLE IF NOT EXISTS deployments (
    deployment_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    execution_id  text NOT NULL,
    repository    text NOT NULL,
    environment   text NOT NULL CHECK (environment IN ('staging', 'production')),
    digest        text NOT NULL REFERENCES images,
    rolled_back   boolean NOT NULL DEFAULT false
);

-- Support
CREATE TABLE IF NOT EXISTS engineers (
    engineer text PRIMARY KEY,
    senior   boolean NOT NULL
);
CREATE TABLE IF NOT EXISTS teams (
    category text PRIMARY KEY,
    team     text NOT NULL
);
CREATE TABLE IF NOT EXISTS articles (
    article_id text PRIMARY KEY,
    title      text NOT NULL,
    body       text NOT NULL
);
CREATE TABLE IF NOT EXISTS tickets (
    ticket_id    text PRIMARY KEY,
    execution_id text NOT NULL,
    urgency      text NOT NULL,
    category     text NOT NULL,
    status       text NOT NULL DEFAULT 'open',
    assigned_to  text,
    opened_at    timestamptz NOT NULL DEFAULT now(),
    answered_at  timestamptz
);
CREATE TABLE IF NOT EXISTS resolutions (
    ticket_id          text PRIMARY KEY REFERENCES tickets,
    response_seconds   double precision NOT NULL,
    customer_satisfied boolean
);

-- Something to begin with
INSERT INTO stock VALUES ('lamp', 40, 3490), ('chair', 12, 24900), ('desk', 3, 68900), ('sofa', 0, 129900)
ON CONFLICT DO NOTHING;
INSERT INTO cards VALUES ('card-gold', 100000000), ('card-empty', 0) ON CONFLICT DO NOTHING;
INSERT INTO engineers VALUES ('ines', true), ('tomas', true), ('ravi', false) ON CONFLICT DO NOTHING;
INSERT INTO teams VALUES ('billing', 'finance-desk'), ('account', 'identity-desk'), ('technical', 'product-desk')
ON CONFLICT DO NOTHING;
INSERT INTO articles VALUES
    ('KB-1', 'Reset a forgotten password',
     'Choose forgotten password on the login page; a link to reset it is mailed to you.'),
    ('KB-2', 'Download an invoice',
     'The invoice of every month is under billing history; download it there as a PDF.')
ON CONFLICT DO NOTHING;
