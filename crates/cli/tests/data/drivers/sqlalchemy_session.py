"""A session of SQLAlchemy 2 with its postgresql dialect: tables made and read back, and objects. Says "done" at the end."""

import datetime
import decimal
import sys
import uuid

import sqlalchemy as sa
from sqlalchemy import orm
from sqlalchemy.dialects import postgresql

PORT, NODE = sys.argv[1:3]
URL = f"postgresql+psycopg://postgres@127.0.0.1:{PORT}/postgres"
ENGINE = sa.create_engine(URL)


class Base(orm.DeclarativeBase):
    pass


class Shepherd(Base):
    __tablename__ = f"sa_shepherd_{NODE}"
    id: orm.Mapped[int] = orm.mapped_column(primary_key=True)
    name: orm.Mapped[str] = orm.mapped_column(sa.String(40), unique=True)
    sheep: orm.Mapped[list["Sheep"]] = orm.relationship(back_populates="shepherd", order_by="Sheep.id")


class Sheep(Base):
    __tablename__ = f"sa_sheep_{NODE}"
    id: orm.Mapped[int] = orm.mapped_column(sa.BigInteger, primary_key=True)
    shepherd_id: orm.Mapped[int | None] = orm.mapped_column(sa.ForeignKey(Shepherd.id, ondelete="CASCADE"), index=True)
    shepherd: orm.Mapped[Shepherd | None] = orm.relationship(back_populates="sheep")
    name: orm.Mapped[str]
    weight: orm.Mapped[float | None]
    price: orm.Mapped[decimal.Decimal] = orm.mapped_column(sa.Numeric(10, 2), server_default="0")
    alive: orm.Mapped[bool] = orm.mapped_column(default=True)
    born: orm.Mapped[datetime.date | None]
    seen: orm.Mapped[datetime.datetime] = orm.mapped_column(sa.DateTime(timezone=True), server_default=sa.func.now())
    tag: orm.Mapped[uuid.UUID | None] = orm.mapped_column(sa.Uuid)
    facts: orm.Mapped[dict | None] = orm.mapped_column(postgresql.JSONB)
    wool: orm.Mapped[bytes | None]
    __table_args__ = (
        sa.CheckConstraint("weight > 0", name=f"sa_heavy_{NODE}"),
        sa.UniqueConstraint("name", "born", name=f"sa_once_{NODE}"),
        sa.Index(f"sa_by_name_{NODE}", "name", "price"),
    )


class Award(Base):
    __tablename__ = f"sa_award_{NODE}"
    year: orm.Mapped[int] = orm.mapped_column(primary_key=True, autoincrement=False)
    place: orm.Mapped[int] = orm.mapped_column(primary_key=True, autoincrement=False)
    sheep_id: orm.Mapped[int] = orm.mapped_column(sa.ForeignKey(Sheep.id))


def reflection():
    inspector = sa.inspect(ENGINE)
    tables = [table for table in inspector.get_table_names() if table.endswith("_" + NODE) and table.startswith("sa_")]
    assert sorted(tables) == sorted(table.name for table in Base.metadata.sorted_tables), tables
    assert inspector.default_schema_name == "public" and "public" in inspector.get_schema_names()
    columns = {column["name"]: column for column in inspector.get_columns(Sheep.__tablename__)}
    kinds = {
        "id": sa.BIGINT, "name": sa.VARCHAR, "weight": sa.Float, "price": sa.NUMERIC, "alive": sa.BOOLEAN, "born": sa.DATE,
        "seen": postgresql.TIMESTAMP, "tag": sa.UUID, "facts": postgresql.JSONB, "wool": postgresql.BYTEA,
    }
    for name, kind in kinds.items():
        assert isinstance(columns[name]["type"], kind), (name, columns[name])
    assert (columns["price"]["type"].precision, columns["price"]["type"].scale) == (10, 2)
    assert columns["seen"]["type"].timezone and columns["born"]["nullable"] and not columns["name"]["nullable"]
    assert columns["price"]["default"] is not None
    assert inspector.get_pk_constraint(Award.__tablename__)["constrained_columns"] == ["year", "place"]
    assert inspector.get_pk_constraint(Sheep.__tablename__)["constrained_columns"] == ["id"]
    [key] = inspector.get_foreign_keys(Sheep.__tablename__)
    assert key["referred_table"] == Shepherd.__tablename__ and key["constrained_columns"] == ["shepherd_id"], key
    assert key["referred_columns"] == ["id"] and key["options"] == {"ondelete": "CASCADE"}, key
    indexes = {index["name"]: index for index in inspector.get_indexes(Sheep.__tablename__)}
    assert indexes[f"sa_by_name_{NODE}"]["column_names"] == ["name", "price"], indexes
    assert indexes[f"ix_sa_sheep_{NODE}_shepherd_id"]["unique"] is False, indexes
    [unique] = inspector.get_unique_constraints(Sheep.__tablename__)
    assert unique["name"] == f"sa_once_{NODE}" and unique["column_names"] == ["name", "born"], unique
    [check] = inspector.get_check_constraints(Sheep.__tablename__)
    assert check["name"] == f"sa_heavy_{NODE}" and "weight > 0" in check["sqltext"], check
    assert inspector.get_table_comment(Sheep.__tablename__) == {"text": None}
    assert inspector.has_table(Sheep.__tablename__) and not inspector.has_table("nowhere")
    assert isinstance(inspector.get_view_names(), list) and isinstance(inspector.get_sequence_names(), list)
    # All of them at once, and the tables again as they were.
    again = sa.MetaData()
    again.reflect(ENGINE, only=tables)
    assert set(again.tables) == set(tables)
    sheep = again.tables[Sheep.__tablename__]
    assert [column.name for column in sheep.primary_key] == ["id"]
    assert {column.name for column in sheep.c} == {column.name for column in Sheep.__table__.c}


def objects():
    born = datetime.date(2024, 2, 29)
    with orm.Session(ENGINE) as session:
        dolly = Sheep(name="Dolly", weight=42.5, price=decimal.Decimal("13.86"), born=born, tag=uuid.UUID(int=7),
                      facts={"legs": 4, "names": ["a", None]}, wool=b"\x00\xff")
        session.add(Shepherd(name="Bo", sheep=[dolly, Sheep(name="Shaun")]))
        session.add_all(Shepherd(name=f"shepherd {n}") for n in range(300))
        session.commit()
        assert dolly.seen.tzinfo is not None and dolly.facts == {"legs": 4, "names": ["a", None]}
    with orm.Session(ENGINE) as session:
        bo = session.scalars(sa.select(Shepherd).where(Shepherd.name == "Bo").options(orm.selectinload(Shepherd.sheep))).one()
        assert [sheep.name for sheep in bo.sheep] == ["Dolly", "Shaun"]
        dolly = bo.sheep[0]
        assert (dolly.price, dolly.born, dolly.tag, dolly.wool) == (decimal.Decimal("13.86"), born, uuid.UUID(int=7), b"\x00\xff")
        assert bo.sheep[1].price == 0 and bo.sheep[1].alive is True
        dolly.weight += 1
        session.commit()
        joined = sa.select(Shepherd.name, sa.func.count(), sa.func.min(Sheep.weight)).join(Sheep).group_by(Shepherd.name)
        assert session.execute(joined).all() == [("Bo", 2, 43.5)]
        page = sa.select(Shepherd).order_by(Shepherd.id.desc()).limit(2).offset(1)
        assert [shepherd.name for shepherd in session.scalars(page)] == ["shepherd 298", "shepherd 297"]
        few = sa.select(Shepherd.id).where(Shepherd.name.in_(["Bo", "shepherd 1"]), Shepherd.name.ilike("%O%"))
        assert session.scalars(few).all() == [bo.id]
        inside = sa.select(Sheep.shepherd_id, sa.func.max(Sheep.weight).label("most")).group_by(Sheep.shepherd_id).subquery()
        most = sa.select(Shepherd.name, inside.c.most).join(inside, inside.c.shepherd_id == Shepherd.id)
        assert session.execute(most).all() == [("Bo", 43.5)]
        upsert = postgresql.insert(Shepherd).values([{"name": "Bo"}, {"name": "Peep"}])
        upsert = upsert.on_conflict_do_update(index_elements=["name"], set_={"name": upsert.excluded.name + "!"})
        names = session.execute(upsert.returning(Shepherd.name)).scalars().all()
        assert sorted(names) == ["Bo!", "Peep"], names
        with session.begin_nested():
            session.add(Award(year=2024, place=1, sheep_id=dolly.id))
        try:
            with session.begin_nested():
                session.execute(sa.insert(Award).values(year=2024, place=1, sheep_id=dolly.id))
        except sa.exc.IntegrityError as error:
            assert error.orig.sqlstate == "23505"
        else:
            raise AssertionError("a duplicate was inserted")
        changed = session.execute(sa.update(Sheep).where(Sheep.name == "Shaun").values(alive=False).returning(Sheep.alive))
        assert changed.scalars().all() == [False]
        session.commit()
    # Cursors at the server.
    with ENGINE.connect().execution_options(stream_results=True, yield_per=50) as connection:
        assert len(connection.execute(sa.select(Shepherd.id)).all()) == 302


def asked_by_asyncpg():
    import asyncio
    from sqlalchemy.ext.asyncio import create_async_engine

    async def main():
        engine = create_async_engine(URL.replace("psycopg", "asyncpg"))
        async with engine.connect() as connection:
            few = sa.select(Sheep.name, Sheep.price).where(Sheep.name.in_(["Dolly", "Nobody"]))
            assert (await connection.execute(few)).all() == [("Dolly", decimal.Decimal("13.86"))]
            assert await connection.run_sync(lambda sync: sa.inspect(sync).has_table(Sheep.__tablename__))
        await engine.dispose()

    asyncio.run(main())


Base.metadata.create_all(ENGINE)
Base.metadata.create_all(ENGINE)
reflection()
objects()
asked_by_asyncpg()
Base.metadata.drop_all(ENGINE)
print("done")
