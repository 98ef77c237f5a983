select $1::int as a, $2::text as b, now() as t
;;
select * from customer where id = any($1::int[])
;;
insert into customer(name) values($1) returning *
