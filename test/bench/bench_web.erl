%% SPDX-License-Identifier: Apache-2.0
%% @doc Requests per second of web applications on one context, beside functions
%% that return the same response and nothing more.
-module(bench_web).

-export([run/1]).

-define(CALLERS, 64).

%% @doc Over the first context of the lane.
-spec run(bench_ways:ways()) -> bench:part().
run(Ways) ->
    C = bench_ways:context(Ways, {lane, 1}),
    ok = py:exec(C, code()),
    Cases = [{Name, N} || N <- [1, ?CALLERS], Name <- [call, wsgi, coroutine, asgi]],
    Ms = bench_lib:pick(300, 150),
    Rounds = [[{Case, element(1, bench_lib:load(N, Ms, fun(_) -> request(Name, C) end))}
               || {Name, N} = Case <- bench_lib:rotate(Round, Cases)]
              || Round <- lists:seq(1, rounds())],
    Rates = maps:from_list([{Case, bench_lib:median([proplists:get_value(Case, R) || R <- Rounds])}
                            || Case <- Cases]),
    #{tables => [table(Rates)],
      keys => #{wsgi_requests_per_second => maps:get({wsgi, 1}, Rates),
                asgi_requests_per_second => maps:get({asgi, ?CALLERS}, Rates)}}.

rounds() ->
    bench_lib:pick(3, 1).

code() ->
    "RESPONSE = 200, [(b'content-type', b'text/plain')], b'hello'\n"
    "def web_call(): return RESPONSE\n"
    "async def web_coroutine(): return RESPONSE\n"
    "def web_wsgi(environ, start_response):\n"
    "    start_response('200 OK', [('content-type', 'text/plain')])\n"
    "    return [b'hello']\n"
    "START = {'type': 'http.response.start', 'status': 200, 'headers': RESPONSE[1]}\n"
    "BODY = {'type': 'http.response.body', 'body': b'hello'}\n"
    "async def web_asgi(scope, receive, send):\n"
    "    assert scope['type'] == 'http'\n"
    "    await send(START)\n"
    "    await send(BODY)\n".

request(call, C) ->
    fun() -> {ok, {200, _, <<"hello">>}} = py:call(C, '__main__', web_call, []) end;
request(coroutine, C) ->
    fun() ->
        Ref = py:async_call(C, '__main__', web_coroutine, []),
        {ok, {200, _, <<"hello">>}} = py:async_await(Ref)
    end;
request(wsgi, C) ->
    Environ = #{'REQUEST_METHOD' => <<"GET">>, 'PATH_INFO' => <<"/a/path">>,
                'HTTP_HOST' => <<"example.org">>, 'HTTP_ACCEPT' => <<"*/*">>},
    Options = #{context => C},
    fun() ->
        {ok, {200, _, <<"hello">>}} = py_wsgi:run('__main__', web_wsgi, Environ, Options)
    end;
request(asgi, C) ->
    Scope = #{method => <<"GET">>, path => <<"/a/path">>,
              headers => [{<<"host">>, <<"example.org">>}, {<<"accept">>, <<"*/*">>}]},
    Options = #{context => C},
    fun() ->
        {ok, {200, _, <<"hello">>}} = py_asgi:run('__main__', web_asgi, Scope, <<>>, Options)
    end.

table(Rates) ->
    Value = fun(Name, Base, N) ->
                    [maps:get({Name, N}, Rates), maps:get({Name, N}, Rates)
                     / maps:get({Base, N}, Rates)]
            end,
    Row = fun(Title, Name, Base) ->
                  {Title, Value(Name, Base, 1) ++ Value(Name, Base, ?CALLERS)}
          end,
    #{title => "web applications: requests per second, one context",
      notes => [[bench_lib:rounds_text(rounds()), "; each caller waits for its response"],
                "the ratio is to a function, a coroutine, that returns the same response"],
      columns => [{"1 caller", count}, {"ratio", ratio_plain},
                  {"64 callers", count}, {"ratio", ratio_plain}],
      rows => [Row("py:call", call, call), Row("py_wsgi:run", wsgi, call),
               Row("py:async_call, async_await", coroutine, coroutine),
               Row("py_asgi:run", asgi, coroutine)]}.
