"""Django: migrates its contributed applications and the tutorial's polls, changes the models as a developer would, and
asks what its admin asks. Says "done" at the end."""

import datetime
import os
import sys
import tempfile
import types

PORT, NODE = sys.argv[1:3]

import django
from django.conf import settings

settings.configure(
    SECRET_KEY="not one", ALLOWED_HOSTS=["*"], ROOT_URLCONF="urls", USE_TZ=True, TIME_ZONE="UTC", DEBUG=False,
    DEFAULT_AUTO_FIELD="django.db.models.BigAutoField", STATIC_URL="static/",
    PASSWORD_HASHERS=["django.contrib.auth.hashers.MD5PasswordHasher"],
    DATABASES={"default": {"ENGINE": "django.db.backends.postgresql", "HOST": "127.0.0.1", "PORT": PORT,
                           "USER": "postgres", "NAME": "postgres"}},
    INSTALLED_APPS=["django.contrib.admin", "django.contrib.auth", "django.contrib.contenttypes",
                    "django.contrib.sessions", "django.contrib.messages", "django.contrib.sites",
                    "django.contrib.flatpages", "django.contrib.redirects", "polls"],
    MIDDLEWARE=["django.contrib.sessions.middleware.SessionMiddleware",
                "django.middleware.common.CommonMiddleware", "django.contrib.auth.middleware.AuthenticationMiddleware",
                "django.contrib.messages.middleware.MessageMiddleware"],
    TEMPLATES=[{"BACKEND": "django.template.backends.django.DjangoTemplates", "APP_DIRS": True,
                "OPTIONS": {"context_processors": ["django.template.context_processors.request",
                                                   "django.contrib.auth.context_processors.auth",
                                                   "django.contrib.messages.context_processors.messages"]}}],
)

# The application lies in a directory of its own, as its migrations must.
directory = tempfile.TemporaryDirectory()
os.makedirs(os.path.join(directory.name, "polls", "migrations"))
for name in "polls/__init__.py", "polls/migrations/__init__.py":
    open(os.path.join(directory.name, name), "w").close()
with open(os.path.join(directory.name, "polls", "models.py"), "w") as file:
    file.write('''
from django.db import models

class Question(models.Model):
    question_text = models.CharField(max_length=200)
    pub_date = models.DateTimeField("date published")

    def __str__(self):
        return self.question_text

class Choice(models.Model):
    question = models.ForeignKey(Question, on_delete=models.CASCADE)
    choice_text = models.CharField(max_length=200)
    votes = models.IntegerField(default=0)
''')
with open(os.path.join(directory.name, "polls", "admin.py"), "w") as file:
    file.write('''
from django.contrib import admin
from .models import Choice, Question

class ChoiceInline(admin.TabularInline):
    model = Choice
    extra = 1

@admin.register(Question)
class QuestionAdmin(admin.ModelAdmin):
    inlines = [ChoiceInline]
    list_display = ["question_text", "pub_date"]
    list_filter = ["pub_date"]
    search_fields = ["question_text"]
    date_hierarchy = "pub_date"
''')
sys.path.insert(0, directory.name)
sys.dont_write_bytecode = True

django.setup()

from django.contrib import admin
from django.core.management import call_command
from django.db import connection, migrations, models, transaction
from django.urls import path

urls = types.ModuleType("urls")
urls.urlpatterns = [path("admin/", admin.site.urls)]
sys.modules["urls"] = urls


def migrate():
    # Another node of the cluster may have been asked before; then this takes back what was done there.
    call_command("makemigrations", "polls", verbosity=0)
    call_command("migrate", verbosity=0)
    call_command("migrate", verbosity=0)
    call_command("migrate", "--check", verbosity=0)
    tables = connection.introspection.table_names()
    for table in "auth_user", "django_admin_log", "django_session", "polls_question", "polls_choice":
        assert table in tables, tables


def change_models():
    """What migrations do with the columns of a table that is in use."""
    from polls.models import Choice, Question

    question = Question.objects.create(question_text="Before?", pub_date=django.utils.timezone.now())
    question.choice_set.create(choice_text="Perhaps", votes=1)
    with connection.schema_editor() as editor:
        def alter(model, name, new):
            old = model._meta.get_field(name)
            new.set_attributes_from_name(name)
            new.model = model
            editor.alter_field(model, old, new)

        added = models.CharField(max_length=20, default="new", db_index=True)
        added.set_attributes_from_name("added")
        editor.add_field(Question, added)
        alter(Question, "question_text", models.TextField(null=True))
        alter(Choice, "votes", models.BigIntegerField(null=True, db_index=True))
        alter(Choice, "choice_text", models.CharField(max_length=300, unique=True))
        positive = models.CheckConstraint(condition=models.Q(votes__gte=0), name="positive")
        once = models.UniqueConstraint(fields=["question", "choice_text"], name="once")
        for constraint in positive, once:
            editor.add_constraint(Choice, constraint)
    with connection.cursor() as cursor:
        constraints = connection.introspection.get_constraints(cursor, "polls_choice")
        assert constraints["positive"]["check"] and constraints["once"]["unique"], constraints
        keys = [constraint for constraint in constraints.values() if constraint["foreign_key"]]
        assert [(key["columns"], key["foreign_key"]) for key in keys] == [(["question_id"], ("polls_question", "id"))], keys
        columns = {column.name: column for column in connection.introspection.get_table_description(cursor, "polls_question")}
        assert columns["question_text"].null_ok and not columns["added"].null_ok, columns
        assert connection.introspection.get_primary_key_columns(cursor, "polls_choice") == ["id"]
    assert Choice.objects.get(question=question).votes == 1
    try:
        with transaction.atomic():
            Choice.objects.update(votes=-1)
    except django.db.IntegrityError as error:
        assert error.__cause__.sqlstate == "23514", error
    else:
        raise AssertionError("a check was not asked")
    with connection.schema_editor() as editor:
        for constraint in positive, once:
            editor.remove_constraint(Choice, constraint)
        editor.remove_field(Question, added)
    question.delete()


def objects():
    from django.db.models import Avg, Count, Exists, F, Max, OuterRef, Q, Subquery, Sum
    from django.db.models.functions import ExtractYear, Lower, TruncDay, TruncMonth
    from polls.models import Choice, Question

    now = datetime.datetime(2024, 2, 29, 12, 30, 15, 250000, tzinfo=datetime.timezone.utc)
    first = Question.objects.create(question_text="What's new?", pub_date=now)
    second = Question.objects.create(question_text="100% sure?", pub_date=now - datetime.timedelta(days=40))
    Choice.objects.bulk_create(Choice(question=first, choice_text=text, votes=n) for n, text in enumerate(["Not much", "The sky"]))
    second.choice_set.create(choice_text="Yes", votes=7)
    assert Question.objects.get(pk=first.pk).pub_date == now
    assert Question.objects.filter(pub_date__year=2024, question_text__startswith="What").get() == first
    assert Question.objects.filter(question_text__icontains="SURE").get() == second
    assert Question.objects.filter(question_text__contains="100%").get() == second
    assert Choice.objects.filter(question__pub_date__lte=now, votes__gt=0).count() == 2
    Choice.objects.filter(pk=second.choice_set.get().pk).update(votes=F("votes") + 1)
    assert Choice.objects.aggregate(Sum("votes"), Max("votes"), Avg("votes")) == {
        "votes__sum": 9, "votes__max": 8, "votes__avg": 3.0}
    counted = Question.objects.annotate(n=Count("choice"), most=Max("choice__votes")).order_by("-n")
    assert [(question.n, question.most) for question in counted] == [(2, 1), (1, 8)]
    best = Choice.objects.filter(question=OuterRef("pk")).order_by("-votes").values("choice_text")[:1]
    texts = Question.objects.annotate(best=Subquery(best), any=Exists(Choice.objects.filter(question=OuterRef("pk"))))
    assert sorted((question.best, question.any) for question in texts) == [("The sky", True), ("Yes", True)]
    months = Question.objects.annotate(month=TruncMonth("pub_date"), year=ExtractYear("pub_date")).order_by("month")
    assert [(q.month.month, q.year) for q in months.filter(Q(month__isnull=False))] == [(1, 2024), (2, 2024)]
    assert Question.objects.dates("pub_date", "month").count() == 2
    assert list(Question.objects.order_by(Lower("question_text")).values_list("id", flat=True)) == [second.pk, first.pk]
    assert set(Question.objects.prefetch_related("choice_set").in_bulk([first.pk, second.pk])) == {first.pk, second.pk}
    assert Question.objects.exclude(choice__votes__gt=5).get() == first
    again, created = Question.objects.get_or_create(question_text="What's new?", defaults={"pub_date": now})
    assert again == first and not created
    Choice.objects.bulk_create([Choice(id=again.choice_set.first().id, question=first, choice_text="Changed", votes=3)],
                               update_conflicts=True, unique_fields=["id"], update_fields=["choice_text", "votes"])
    assert first.choice_set.filter(choice_text="Changed", votes=3).exists()
    with transaction.atomic():
        locked = Question.objects.select_for_update().get(pk=first.pk)
        try:
            with transaction.atomic():
                Choice.objects.create(id=second.choice_set.get().id, question=locked, choice_text="twice")
        except django.db.IntegrityError:
            pass
        else:
            raise AssertionError("a duplicate was inserted")
    with transaction.atomic():
        assert len(list(Question.objects.iterator(chunk_size=1))) == 2


def ask_admin():
    from django.contrib.auth.models import Permission, User
    from django.test import Client
    from polls.models import Question

    user = User.objects.create_superuser("bo", "bo@example.org", "peep")
    assert Permission.objects.filter(content_type__app_label="polls").count() == 8
    client = Client()
    assert client.login(username="bo", password="peep")
    question = Question.objects.first()
    for page in ["", "polls/question/", "polls/question/?q=new", "polls/question/?pub_date__year=2024", "polls/question/?o=-2",
                 f"polls/question/{question.pk}/change/", "auth/user/", f"auth/user/{user.pk}/change/",
                 "polls/question/add/", f"polls/question/{question.pk}/history/"]:
        answer = client.get("/admin/" + page)
        assert answer.status_code == 200, (page, answer.status_code)
    form = {"question_text": "By hand?", "pub_date_0": "2024-03-01", "pub_date_1": "08:00:00",
            "choice_set-TOTAL_FORMS": "1", "choice_set-INITIAL_FORMS": "0", "choice_set-0-choice_text": "So it is",
            "choice_set-0-votes": "1"}
    assert client.post("/admin/polls/question/add/", form).status_code == 302
    made = Question.objects.get(question_text="By hand?")
    assert made.choice_set.get().choice_text == "So it is"
    answer = client.post(f"/admin/polls/question/{made.pk}/delete/", {"post": "yes"})
    assert answer.status_code == 302 and not Question.objects.filter(pk=made.pk).exists()
    client.logout()


def clean_up():
    call_command("flush", interactive=False, verbosity=0)
    for app in "polls", "flatpages", "redirects", "sites", "admin", "sessions", "auth", "contenttypes":
        call_command("migrate", app, "zero", verbosity=0)
    with connection.schema_editor() as editor:
        editor.execute("DROP TABLE django_migrations CASCADE")


migrate()
objects()
ask_admin()
change_models()
clean_up()
directory.cleanup()
print("done")
