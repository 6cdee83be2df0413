%% SPDX-License-Identifier: Apache-2.0
%% @doc Helpers that were taken over, of contexts with a policy: what they send is
%% held against its limits by the driver, and identifiers that they were not given
%% are a violation.  As in `py_evil_SUITE' nothing of the VM has changed afterwards.
-module(py_evil_policy_SUITE).

-export([all/0, groups/0, suite/0, init_per_suite/1, end_per_suite/1, init_per_group/2,
         end_per_group/2]).
-export([terms/1, callbacks/1, handles/1, identifiers/1, within/1, output/1]).

-define(FORGED, {protocol, <<"an identifier that it was not given">>}).
-define(REFUSED, {protocol, <<"not permitted here">>}).
-define(MIB, (1 bsl 20)).

suite() -> [{timetrap, {minutes, 3}}].

all() -> [{group, over_lane}, {group, over_socket}].

groups() ->
    Both = [terms, callbacks, handles, identifiers, within, output],
    [{over_lane, [], Both}, {over_socket, [], Both}].

init_per_suite(Config) ->
    ok = py_evil:start(Config),
    ok = py_callback:register(<<"f">>, fun f/1),
    Config.

end_per_suite(_) ->
    ok = py_callback:unregister(<<"f">>),
    ok = py_evil:stop().

init_per_group(Group, Config) -> [{lane, Group =:= over_lane} | Config].

end_per_group(_, _) -> ok.

%% Without arguments: asks who calls it.
f([]) -> py_evil:ask(py_callback:context(), 20000);
f(Args) -> Args.

with(Limits) ->
    #{policy => #{level => trusted, limits => Limits}}.

sandboxed() ->
    sandboxed(#{}).

%% The evil zygote locks up nobody.
sandboxed(Limits) ->
    #{policy => #{level => default, require => [], allow => [{call, all}],
                  limits => Limits#{wall_ms => 60000}}}.

terms(Config) ->
    table(Config,
          [{Name, {limit, Which}, Policy}
           || {Name, Which, Limits} <-
                  [{"etf_deep", term_depth, #{term_depth => 100}},
                   {"deep_while_growing", term_depth, #{term_depth => 100}},
                   {"etf_strings", term_words, #{term_words => ?MIB}},
                   {"etf_wide_tuple", term_words, #{term_words => 999999}},
                   {"etf_list_of_2g", term_words, #{term_words => ?MIB}},
                   {"etf_map_of_4g", term_words, #{term_words => ?MIB}}],
              Policy <- [with(Limits), sandboxed(Limits)]]
          ++ [{"etf_large_bignum", {limit, term_words}, with(#{term_words => 100000})},
              %% Of strangers any is too large.
              {"etf_large_bignum", {protocol, <<"a limit was exceeded">>}, sandboxed()}]).

callbacks(Config) ->
    table(Config,
          [{Name, {limit, Which}, Policy#{memory => 64 * ?MIB}}
           || {Name, Which, Limits} <-
                  [{"flood_callbacks", callbacks, #{callbacks => 500}},
                   {"flood_unasked", callbacks, #{callbacks => 500}},
                   {"nest", callback_depth, #{callback_depth => 50}}],
              Policy <- [with(Limits), sandboxed(Limits)]]).

handles(Config) ->
    table(Config,
          [{Name, ?FORGED, sandboxed()}
           || Name <- ["handle_next", "handle_zero", "handle_port", "handle_reference",
                       "handle_serial", "handle_in_ref", "handle_in_send",
                       "handle_in_callback"]]
          ++ [{Name, ?REFUSED, sandboxed()}
              || Name <- ["handle_creation", "handle_short", "handle_node"]]).

identifiers(Config) ->
    table(Config,
          [{Name, ?REFUSED, sandboxed()}
           || Name <- ["etf_pid", "etf_port", "etf_reference", "etf_export", "forged_ref",
                       "forged_shm"]]).

%% What it writes is counted as it is read.
output(Config) ->
    table(Config,
          [{Name, {limit, output_bytes}, Policy#{memory => 16 * ?MIB}}
           || Name <- ["flood_stdout", "flood_stderr", "flood_line"],
              Policy <- [with(#{output_bytes => 100000}), sandboxed(#{output_bytes => 100000})]]).

%% What is within its limits is as ever.
within(Config) ->
    Alive = #{dies => false},
    table(Config,
          [{"honest", 42, maps:merge(Alive, sandboxed(#{term_depth => 4, term_words => 1}))},
           {"etf_wide_tuple", any, maps:merge(Alive#{memory => 16 * ?MIB},
                                              with(#{term_words => 1000001}))}]).

table(Config, Rows) ->
    Lane = #{lane => proplists:get_value(lane, Config)},
    [ok = row(Name, Expected, py_evil:deed(Name, maps:merge(Lane, Options)))
     || {Name, Expected, Options} <- Rows],
    ok.

row(_, Value, {ok, Value}) -> ok;
row(_, any, {ok, _}) -> ok;
row(_, Reason, {error, Reason}) -> ok;
row(Name, Expected, Result) -> ct:fail({Name, {expected, Expected}, Result}).
