from django.urls import path

from approvals_app.answer_page import answer_by_link

urlpatterns = [path("answer/<str:token>", answer_by_link, name="answer-by-link")]
