/*******************************************************************************
   A script in SQLite's dialect, as a tool would write it: [bracketed] names,
   comments; with ' quotes; and semicolons; inside them.
********************************************************************************/
DROP TABLE IF EXISTS [Lamb];
DROP TABLE IF EXISTS [Sheep];

-- Every declared type here is one that PostgreSQL does not have, or has otherwise; none is refused.
CREATE TABLE [Sheep]
(
    [SheepId] INTEGER  NOT NULL,
    [Name] NVARCHAR(120),
    [Born] DATETIME,
    [Price] NUMERIC(10,2)  NOT NULL,
    [First Owner] NVARCHAR(40) DEFAULT 'nobody; yet',
    CONSTRAINT [PK_Sheep] PRIMARY KEY  ([SheepId])
);
CREATE TABLE [Lamb]
(
    [LambId] INTEGER  NOT NULL,
    [MotherId] INTEGER  NOT NULL,
    "Name" NVARCHAR(120),
    CONSTRAINT [PK_Lamb] PRIMARY KEY  ([LambId]),
    FOREIGN KEY ([MotherId]) REFERENCES [Sheep] ([SheepId])
		ON DELETE NO ACTION ON UPDATE NO ACTION
);
CREATE UNIQUE INDEX [IPK_Lamb] ON [Lamb]([LambId]);
CREATE INDEX [IFK_LambMotherId] ON [Lamb] ([MotherId]);

INSERT INTO [Sheep] ([SheepId], [Name], [Born], [Price]) VALUES
    (1, 'Dolly; the ''first''', '1996-07-05 00:00:00', 13.86),
    (2, 'Zażółć — Shaun''s "cousin"', '1995-12-24 00:00:00', 0.99),
    (3, NULL, NULL, 100);
INSERT INTO [Lamb] ([LambId], [MotherId], `Name`) VALUES (1, 1, 'Bonnie'), (2, 1, 'Sally'), (3, 2, 'Timmy');
INSERT INTO [Lamb] ([LambId], [MotherId], [Name])
    SELECT [LambId] + 10, [MotherId], upper([Name]) FROM [Lamb] WHERE [MotherId] = 1;

BEGIN;
UPDATE [Sheep] SET [Price] = [Price] * 2 WHERE [SheepId] = 3;
DELETE FROM [Lamb] WHERE [LambId] = 3;
COMMIT;
BEGIN;
DELETE FROM [Lamb];
DELETE FROM [Sheep];
ROLLBACK;
